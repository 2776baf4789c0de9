/* util.x509core, reading: what a certificate says, for checks and for the admin.
 *
 * Names are what RFC 6120 13.7.1.2 looks at: dNSName, SRVName, xmppAddr, iPAddress of the subjectAltName; the common
 * name is told, but is no identity (RFC 9525). A name with a NUL inside is dropped: C code elsewhere would see half of
 * it. Everything OpenSSL gives sits in a userdata before anything can raise. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "lua/libs.h"
#include "lua/x509_private.h"

#define GUARD_TYPE "couplet.x509.guard"
#define CHAIN_MAX 32 /* certificates read from one text */
#define OID_SUBJECT_ALT_NAME "2.5.29.17"

/* ---- what OpenSSL gives, in the hands of the collector ---- */

static int l_guard_release(lua_State *L)
{
	struct x509_guard *guard = lua_touserdata(L, 1);
	if (guard->object != NULL)
		guard->release(guard->object);
	guard->object = NULL;
	return 0;
}

struct x509_guard *l_x509_push_guard(lua_State *L, void (*release)(void *object))
{
	struct x509_guard *guard = lua_newuserdatauv(L, sizeof(*guard), 0);
	guard->object = NULL;
	guard->release = release;
	if (luaL_newmetatable(L, GUARD_TYPE)) {
		lua_pushcfunction(L, l_guard_release);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return guard;
}

void x509_release_bio(void *object)
{
	BIO_free_all(object);
}

void x509_release_names(void *object)
{
	GENERAL_NAMES_free(object);
}

/* nil, text */
int l_x509_fail(lua_State *L, const char *text)
{
	ERR_clear_error();
	lua_pushnil(L);
	lua_pushstring(L, text);
	return 2;
}

/* nil, "what: OpenSSL's or the system's reason" */
int l_x509_fail_openssl(lua_State *L, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", what, reason != NULL ? reason : "OpenSSL gives no reason");
	ERR_clear_error();
	return 2;
}

/* A BIO that reads the string at arg, which stays in its place. */
static BIO *l_read_bio(lua_State *L, int arg)
{
	size_t len;
	const char *text = luaL_checklstring(L, arg, &len);
	luaL_argcheck(L, len <= INT32_MAX, arg, "text too long");
	struct x509_guard *guard = l_x509_push_guard(L, x509_release_bio);
	guard->object = BIO_new_mem_buf(text, (int)len);
	if (guard->object == NULL)
		luaL_error(L, "OpenSSL is out of memory");
	return guard->object;
}

BIO *l_x509_write_bio(lua_State *L)
{
	struct x509_guard *guard = l_x509_push_guard(L, x509_release_bio);
	guard->object = BIO_new(BIO_s_mem());
	if (guard->object == NULL)
		luaL_error(L, "OpenSSL is out of memory");
	return guard->object;
}

void l_x509_push_bio(lua_State *L, BIO *bio)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);
	lua_pushlstring(L, text, (size_t)len);
}

/* ---- certificates: handle ---- */

X509 **l_x509_push_cert(lua_State *L)
{
	X509 **handle = lua_newuserdatauv(L, sizeof(X509 *), 0);
	*handle = NULL;
	luaL_setmetatable(L, X509_CERT_TYPE);
	return handle;
}

X509 *l_x509_check_cert(lua_State *L, int arg)
{
	X509 **handle = luaL_checkudata(L, arg, X509_CERT_TYPE);
	luaL_argcheck(L, *handle != NULL, arg, "no certificate");
	return *handle;
}

static int l_cert_gc(lua_State *L)
{
	X509 **handle = luaL_checkudata(L, 1, X509_CERT_TYPE);
	X509_free(*handle);
	*handle = NULL;
	return 0;
}

/* from_pem(pem) -> certificate (the first in the text) | nil, why */
static int l_from_pem(lua_State *L)
{
	BIO *bio = l_read_bio(L, 1);
	X509 **cert = l_x509_push_cert(L);
	*cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (*cert == NULL)
		return l_x509_fail(L, "no certificate in PEM form");
	return 1;
}

/* parse_chain(pem) -> list of certificates, in the order of the text | nil, why */
static int l_parse_chain(lua_State *L)
{
	BIO *bio = l_read_bio(L, 1);
	lua_newtable(L);
	for (lua_Integer n = 1;; n++) {
		X509 **cert = l_x509_push_cert(L);
		*cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
		if (*cert == NULL) {
			lua_pop(L, 1);
			if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
				return l_x509_fail_openssl(L, "a certificate of the chain cannot be read");
			ERR_clear_error();
			return n > 1 ? 1 : l_x509_fail(L, "no certificate in PEM form");
		}
		if (n > CHAIN_MAX)
			return l_x509_fail(L, "more than 32 certificates in a chain");
		lua_rawseti(L, -2, n);
	}
}

/* ---- certificates: readers ---- */

/* Text without NUL inside as Lua string; false (nothing pushed) else. */
static bool l_push_asn1_text(lua_State *L, const ASN1_STRING *text)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(text);
	size_t len = (size_t)ASN1_STRING_length(text);
	if (len == 0 || memchr(bytes, '\0', len) != NULL)
		return false;
	lua_pushlstring(L, (const char *)bytes, len);
	return true;
}

/* A distinguished name as a list of { oid=, name=, value= }, values in UTF-8. */
static void l_push_dn(lua_State *L, const X509_NAME *dn)
{
	int n = X509_NAME_entry_count(dn);
	lua_Integer kept = 0;

	lua_createtable(L, n, 0);
	for (int i = 0; i < n; i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(dn, i);
		const ASN1_OBJECT *type = X509_NAME_ENTRY_get_object(entry);
		unsigned char *utf8 = NULL;
		char oid[80], value[1024];
		int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
		bool is_kept = len >= 0 && (size_t)len < sizeof(value) && memchr(utf8, '\0', (size_t)len) == NULL;

		if (is_kept)
			memcpy(value, utf8, (size_t)len);
		OPENSSL_free(utf8);
		if (!is_kept)
			continue;
		OBJ_obj2txt(oid, sizeof(oid), type, 1);
		int nid = OBJ_obj2nid(type);
		lua_createtable(L, 0, 3);
		lua_pushstring(L, oid);
		lua_setfield(L, -2, "oid");
		lua_pushstring(L, nid != NID_undef ? OBJ_nid2ln(nid) : oid);
		lua_setfield(L, -2, "name");
		lua_pushlstring(L, value, (size_t)len);
		lua_setfield(L, -2, "value");
		lua_rawseti(L, -2, ++kept);
	}
}

/* cert:subject() -> list of { oid, name, value } */
static int l_cert_subject(lua_State *L)
{
	l_push_dn(L, X509_get_subject_name(l_x509_check_cert(L, 1)));
	return 1;
}

/* cert:issuer() -> list of { oid, name, value } */
static int l_cert_issuer(lua_State *L)
{
	l_push_dn(L, X509_get_issuer_name(l_x509_check_cert(L, 1)));
	return 1;
}

/* Seconds since 1970 and text ("Nov 22 18:15:23 2026 GMT"). */
static int l_push_time(lua_State *L, const ASN1_TIME *time)
{
	struct tm parts;
	if (time == NULL || ASN1_TIME_to_tm(time, &parts) != 1)
		return l_x509_fail(L, "the certificate's time cannot be read");
	lua_pushinteger(L, timegm(&parts));
	BIO *bio = l_x509_write_bio(L);
	ASN1_TIME_print(bio, time);
	l_x509_push_bio(L, bio);
	lua_remove(L, -2);
	return 2;
}

/* cert:notbefore() -> unix time, text */
static int l_cert_notbefore(lua_State *L)
{
	return l_push_time(L, X509_get0_notBefore(l_x509_check_cert(L, 1)));
}

/* cert:notafter() -> unix time, text */
static int l_cert_notafter(lua_State *L)
{
	return l_push_time(L, X509_get0_notAfter(l_x509_check_cert(L, 1)));
}

/* cert:validat([unix time]) -> boolean; now when there is none */
static int l_cert_validat(lua_State *L)
{
	const X509 *cert = l_x509_check_cert(L, 1);
	time_t when = lua_isnoneornil(L, 2) ? time(NULL) : (time_t)luaL_checknumber(L, 2);

	/* 0 is "cannot be read": not valid then. */
	int begins = X509_cmp_time(X509_get0_notBefore(cert), &when);
	int ends = X509_cmp_time(X509_get0_notAfter(cert), &when);
	lua_pushboolean(L, begins < 0 && ends > 0);
	return 1;
}

/* cert:pubkey() -> PEM, type ("RSA", "EC", "ED25519" ...), bits */
static int l_cert_pubkey(lua_State *L)
{
	EVP_PKEY *key = X509_get0_pubkey(l_x509_check_cert(L, 1));
	if (key == NULL)
		return l_x509_fail(L, "the certificate's key is of an unknown kind");
	BIO *bio = l_x509_write_bio(L);
	if (PEM_write_bio_PUBKEY(bio, key) != 1)
		return l_x509_fail_openssl(L, "the certificate's key cannot be written");
	l_x509_push_bio(L, bio);
	lua_pushstring(L, EVP_PKEY_get0_type_name(key));
	lua_pushinteger(L, EVP_PKEY_get_bits(key));
	return 3;
}

static void l_push_hex(lua_State *L, const unsigned char *bytes, size_t len, const char *digits)
{
	luaL_Buffer hex;
	char *at = luaL_buffinitsize(L, &hex, 2 * len);
	for (size_t i = 0; i < len; i++) {
		*at++ = digits[bytes[i] >> 4];
		*at++ = digits[bytes[i] & 15];
	}
	luaL_pushresultsize(&hex, 2 * len);
}

/* cert:serial() -> upper case hex */
static int l_cert_serial(lua_State *L)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(l_x509_check_cert(L, 1));
	l_push_hex(L, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial), "0123456789ABCDEF");
	return 1;
}

/* cert:digest([algorithm]) -> lower case hex | nil, why; "sha256" when there is none */
static int l_cert_digest(lua_State *L)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	const X509 *cert = l_x509_check_cert(L, 1);
	const EVP_MD *md = EVP_get_digestbyname(luaL_optstring(L, 2, "sha256"));

	if (md == NULL)
		return l_x509_fail(L, "unknown digest");
	if (X509_digest(cert, md, hash, &len) != 1)
		return l_x509_fail_openssl(L, "the certificate cannot be hashed");
	l_push_hex(L, hash, len, "0123456789abcdef");
	return 1;
}

/* cert:pem() -> PEM */
static int l_cert_pem(lua_State *L)
{
	X509 *cert = l_x509_check_cert(L, 1);
	BIO *bio = l_x509_write_bio(L);
	if (PEM_write_bio_X509(bio, cert) != 1)
		return l_x509_fail_openssl(L, "the certificate cannot be written");
	l_x509_push_bio(L, bio);
	return 1;
}

/* The subjectAltName of the certificate at 1, in a guard it pushes; NULL when there is none. */
static GENERAL_NAMES *l_push_alt_names(lua_State *L)
{
	const X509 *cert = l_x509_check_cert(L, 1);
	struct x509_guard *guard = l_x509_push_guard(L, x509_release_names);
	guard->object = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	return guard->object;
}

/* Adds the string on top of the stack to the list table[field], made when absent. Pops it. */
static void l_add_to(lua_State *L, int table, const char *field)
{
	if (lua_getfield(L, table, field) != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setfield(L, table, field);
	}
	lua_insert(L, -2);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	lua_pop(L, 1);
}

/* The words for each kind of name: ours, and those of LuaSec's cert:extensions(). */
struct name_fields {
	const char *dns, *srv, *xmpp, *ip;
};

/* Sorts the names of the certificate at 1 into the table on top of the stack. */
static void l_collect_names(lua_State *L, const struct name_fields *fields)
{
	int table = lua_gettop(L);
	GENERAL_NAMES *names = l_push_alt_names(L);

	for (int i = 0, n = names != NULL ? sk_GENERAL_NAME_num(names) : 0; i < n && i < X509_NAMES_MAX; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		char text[INET6_ADDRSTRLEN], oid[80];

		if (name->type == GEN_DNS && l_push_asn1_text(L, name->d.dNSName)) {
			l_add_to(L, table, fields->dns);
		} else if (name->type == GEN_IPADD) {
			int len = ASN1_STRING_length(name->d.iPAddress), family = len == 4 ? AF_INET : AF_INET6;
			const void *bytes = ASN1_STRING_get0_data(name->d.iPAddress);
			if ((len == 4 || len == 16) && inet_ntop(family, bytes, text, sizeof(text)) != NULL) {
				lua_pushstring(L, text);
				l_add_to(L, table, fields->ip);
			}
		} else if (name->type == GEN_OTHERNAME) {
			const ASN1_TYPE *value = name->d.otherName->value;
			OBJ_obj2txt(oid, sizeof(oid), name->d.otherName->type_id, 1);
			/* RFC 4985 2, RFC 6120 13.7.1.4: the one is ASCII, the other UTF-8. */
			if (strcmp(oid, OID_SRV_NAME) == 0 && value->type == V_ASN1_IA5STRING) {
				if (l_push_asn1_text(L, value->value.ia5string))
					l_add_to(L, table, fields->srv);
			} else if (strcmp(oid, OID_XMPP_ADDR) == 0 && value->type == V_ASN1_UTF8STRING) {
				if (l_push_asn1_text(L, value->value.utf8string))
					l_add_to(L, table, fields->xmpp);
			}
		}
	}
	lua_pop(L, 1);
}

/* cert:names() -> { dns = {...}, srv = {...}, xmpp = {...}, ip = {...}, common_name = text or nil } */
static int l_cert_names(lua_State *L)
{
	static const struct name_fields fields = { "dns", "srv", "xmpp", "ip" };
	const X509_NAME *subject = X509_get_subject_name(l_x509_check_cert(L, 1));
	char common_name[256];

	lua_createtable(L, 0, 5);
	lua_newtable(L);
	lua_setfield(L, -2, fields.dns);
	lua_newtable(L);
	lua_setfield(L, -2, fields.srv);
	lua_newtable(L);
	lua_setfield(L, -2, fields.xmpp);
	lua_newtable(L);
	lua_setfield(L, -2, fields.ip);
	l_collect_names(L, &fields);

	/* The last is the most specific. */
	int at = -1, last = -1;
	while ((at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0)
		last = at;
	if (last >= 0) {
		unsigned char *utf8 = NULL;
		int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
		bool is_whole = len > 0 && (size_t)len < sizeof(common_name) && memchr(utf8, '\0', (size_t)len) == NULL;
		if (is_whole)
			memcpy(common_name, utf8, (size_t)len);
		OPENSSL_free(utf8);
		if (is_whole) {
			lua_pushlstring(L, common_name, (size_t)len);
			lua_setfield(L, -2, "common_name");
		}
	}
	return 1;
}

/* cert:extensions() -> { ["2.5.29.17"] = { dNSName = {...}, iPAddress = {...}, [oid] = {...} } }, as LuaSec gives the
 * subjectAltName to modules */
static int l_cert_extensions(lua_State *L)
{
	static const struct name_fields fields = { "dNSName", OID_SRV_NAME, OID_XMPP_ADDR, "iPAddress" };

	l_x509_check_cert(L, 1);
	lua_newtable(L);
	lua_createtable(L, 0, 4);
	l_collect_names(L, &fields);
	lua_pushnil(L);
	if (lua_next(L, -2) != 0) { /* any? */
		lua_pop(L, 2);
		lua_pushliteral(L, "X509v3 Subject Alternative Name");
		lua_setfield(L, -2, "name");
		lua_setfield(L, -2, OID_SUBJECT_ALT_NAME);
	} else {
		lua_pop(L, 1);
	}
	return 1;
}

/* cert:usage() -> { ca, server, client, sign = boolean }: may it be used so? What the certificate does not limit is
 * allowed. */
static int l_cert_usage(lua_State *L)
{
	X509 *cert = l_x509_check_cert(L, 1);
	uint32_t flags = X509_get_extension_flags(cert);
	/* All bits are set when the extension is absent. */
	uint32_t usage = X509_get_key_usage(cert), extended = X509_get_extended_key_usage(cert);
	bool is_ca = X509_check_ca(cert) == 1;

	lua_createtable(L, 0, 4);
	lua_pushboolean(L, is_ca && (flags & EXFLAG_INVALID) == 0);
	lua_setfield(L, -2, "ca");
	lua_pushboolean(L, (extended & (XKU_SSL_SERVER | XKU_ANYEKU)) != 0 && (flags & EXFLAG_INVALID) == 0);
	lua_setfield(L, -2, "server");
	lua_pushboolean(L, (extended & (XKU_SSL_CLIENT | XKU_ANYEKU)) != 0 && (flags & EXFLAG_INVALID) == 0);
	lua_setfield(L, -2, "client");
	lua_pushboolean(L, (usage & KU_DIGITAL_SIGNATURE) != 0);
	lua_setfield(L, -2, "sign");
	return 1;
}

/* ---- tables ---- */

static const luaL_Reg cert_methods[] = {
	{ "subject", l_cert_subject },
	{ "issuer", l_cert_issuer },
	{ "notbefore", l_cert_notbefore },
	{ "notafter", l_cert_notafter },
	{ "validat", l_cert_validat },
	{ "pubkey", l_cert_pubkey },
	{ "serial", l_cert_serial },
	{ "digest", l_cert_digest },
	{ "pem", l_cert_pem },
	{ "names", l_cert_names },
	{ "extensions", l_cert_extensions },
	{ "usage", l_cert_usage },
	{ "matches", l_x509_matches },
	{ NULL, NULL },
};

static const luaL_Reg functions[] = {
	{ "from_pem", l_from_pem },
	{ "parse_chain", l_parse_chain },
	{ NULL, NULL },
};

void l_x509_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
	luaL_newmetatable(L, name);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, gc);
	lua_setfield(L, -2, "__gc");
	lua_pushliteral(L, "x509"); /* nobody gets at __gc */
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

int l_open_x509(lua_State *L)
{
	l_x509_make_type(L, X509_CERT_TYPE, cert_methods, l_cert_gc);
	luaL_newlib(L, functions);
	l_x509_add_makers(L);
	return 1;
}
