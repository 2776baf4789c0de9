/* util.x509core, making: keys, self-signed certificates and signing requests, for coupletctl and for specs.
 *
 * Private keys never become Lua strings: they are handles, and files that others cannot read. A file that exists is
 * never written to. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "lua/x509_private.h"
#include "xmpp/jid.h"

#define KEY_TYPE "couplet.x509.key"
#define COMMON_NAME_MAX 64 /* bytes: RFC 5280 A.1 */
#define DAYS_MAX 36500

static void release_request(void *object)
{
	X509_REQ_free(object);
}

static void release_extensions(void *object)
{
	sk_X509_EXTENSION_pop_free(object, X509_EXTENSION_free);
}

static void release_key(void *object)
{
	EVP_PKEY_free(object);
}

/* ---- keys ---- */

static EVP_PKEY **l_push_key(lua_State *L)
{
	EVP_PKEY **handle = lua_newuserdatauv(L, sizeof(EVP_PKEY *), 0);
	*handle = NULL;
	luaL_setmetatable(L, KEY_TYPE);
	return handle;
}

static int l_key_gc(lua_State *L)
{
	EVP_PKEY **handle = luaL_checkudata(L, 1, KEY_TYPE);
	release_key(*handle);
	*handle = NULL;
	return 0;
}

static EVP_PKEY *l_check_key(lua_State *L, int arg)
{
	EVP_PKEY **handle = luaL_checkudata(L, arg, KEY_TYPE);
	luaL_argcheck(L, *handle != NULL, arg, "no key");
	return *handle;
}

/* key:type() -> "EC" | "RSA" ..., bits */
static int l_key_type(lua_State *L)
{
	EVP_PKEY *key = l_check_key(L, 1);
	lua_pushstring(L, EVP_PKEY_get0_type_name(key));
	lua_pushinteger(L, EVP_PKEY_get_bits(key));
	return 2;
}

/* cert:matches(key) -> boolean: is it this key's certificate? */
int l_x509_matches(lua_State *L)
{
	X509 *cert = l_x509_check_cert(L, 1);
	lua_pushboolean(L, X509_check_private_key(cert, l_check_key(L, 2)) == 1);
	ERR_clear_error();
	return 1;
}

/* Writes a new file; one that exists already, or a link, is never touched. NULL, or the errno that stopped us. */
static int write_new_file(const char *path, mode_t mode, BIO *content)
{
	char *text;
	long len = BIO_get_mem_data(content, &text), written = 0;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode), failed = 0;

	if (fd < 0)
		return errno;
	if (fchmod(fd, mode) < 0) /* whatever the umask is */
		failed = errno;
	while (failed == 0 && written < len) {
		ssize_t n = write(fd, text + written, (size_t)(len - written));
		if (n >= 0)
			written += n;
		else if (errno != EINTR)
			failed = errno;
	}
	if (failed == 0 && fsync(fd) < 0)
		failed = errno;
	if (close(fd) < 0 && failed == 0)
		failed = errno;
	if (failed != 0)
		unlink(path);
	return failed;
}

static int l_fail_file(lua_State *L, const char *path, int failed)
{
	ERR_clear_error();
	lua_pushnil(L);
	lua_pushfstring(L, "%s: %s", path, strerror(failed));
	return 2;
}

/* "0600" or "0640" at arg; what a key may have at most. */
static mode_t l_check_mode(lua_State *L, int arg)
{
	static const char *const modes[] = { "0600", "0640", NULL };
	return luaL_checkoption(L, arg, "0600", modes) == 0 ? 0600 : 0640;
}

/* generate_key(path [, mode]) -> key | nil, why. A new EC key on P-256 (RFC 7525: what everybody can use), written to
 * the new file path; mode is "0600" (default) or "0640". */
static int l_generate_key(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	mode_t mode = l_check_mode(L, 2);
	BIO *bio = l_x509_write_bio(L);
	EVP_PKEY **key = l_push_key(L);

	*key = EVP_EC_gen("P-256");
	if (*key == NULL)
		return l_x509_fail_openssl(L, "no key could be generated");
	if (PEM_write_bio_PrivateKey(bio, *key, NULL, NULL, 0, NULL, NULL) != 1)
		return l_x509_fail_openssl(L, "the key cannot be written");
	int failed = write_new_file(path, mode, bio);
	char *text;
	long len = BIO_get_mem_data(bio, &text);
	OPENSSL_cleanse(text, (size_t)len);
	return failed != 0 ? l_fail_file(L, path, failed) : 1;
}

/* Never asks for a password on the terminal. */
static int no_password(char *into, int size, int for_writing, void *ctx)
{
	(void)into, (void)size, (void)for_writing, (void)ctx;
	return -1;
}

/* load_key(path) -> key | nil, why */
static int l_load_key(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct x509_guard *guard = l_x509_push_guard(L, x509_release_bio);
	EVP_PKEY **key = l_push_key(L);

	errno = 0;
	guard->object = BIO_new_file(path, "r");
	if (guard->object == NULL)
		return l_fail_file(L, path, errno);
	*key = PEM_read_bio_PrivateKey(guard->object, NULL, no_password, NULL);
	if (*key == NULL)
		return l_x509_fail_openssl(L, path);
	return 1;
}

/* ---- making certificates and requests ---- */

static bool add_name(GENERAL_NAMES *names, GENERAL_NAME *name)
{
	if (name != NULL && sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool add_dns_name(GENERAL_NAMES *names, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();

	if (name == NULL || value == NULL || ASN1_STRING_set(value, text, -1) != 1) {
		GENERAL_NAME_free(name);
		ASN1_IA5STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_DNS, value);
	return add_name(names, name);
}

static bool add_other_name(GENERAL_NAMES *names, const char *oid, int type, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OBJECT *id = OBJ_txt2obj(oid, 1);
	ASN1_STRING *string = ASN1_STRING_type_new(type);
	ASN1_TYPE *value = ASN1_TYPE_new();

	if (name == NULL || id == NULL || string == NULL || value == NULL || ASN1_STRING_set(string, text, -1) != 1) {
		GENERAL_NAME_free(name);
		ASN1_OBJECT_free(id);
		ASN1_STRING_free(string);
		ASN1_TYPE_free(value);
		return false;
	}
	ASN1_TYPE_set(value, type, string);
	if (GENERAL_NAME_set0_othername(name, id, value) != 1) {
		GENERAL_NAME_free(name);
		ASN1_OBJECT_free(id);
		ASN1_TYPE_free(value);
		return false;
	}
	return add_name(names, name);
}

/* The address that a host called by it has ("192.0.2.1", "[2001:db8::1]"), as text without brackets; false when it is
 * none. */
static bool address_of(struct slice host, char into[INET6_ADDRSTRLEN])
{
	unsigned char bytes[16];
	bool has_brackets = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
	struct slice text = has_brackets ? slice_of(host.ptr + 1, host.len - 2) : host;
	if (text.len >= INET6_ADDRSTRLEN)
		return false;
	memcpy(into, text.ptr, text.len);
	into[text.len] = '\0';
	return inet_pton(has_brackets ? AF_INET6 : AF_INET, into, bytes) == 1;
}

/* RFC 9525 2: an address is an iPAddress, never a dNSName. */
static bool add_address(GENERAL_NAMES *names, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OCTET_STRING *value = a2i_IPADDRESS(text);

	if (name == NULL || value == NULL) {
		GENERAL_NAME_free(name);
		ASN1_OCTET_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_IPADD, value);
	return add_name(names, name);
}

/* What RFC 6120 13.7.1.2.1 asks for each XMPP host; a wildcard ("*.x") can only be a DNS name. False when host is none
 * of these. */
static bool add_host(GENERAL_NAMES *names, struct slice host)
{
	char ascii[256], unicode[JID_PART_MAX + 1], service[300];
	bool is_wildcard = slice_starts_with(host, SLICE("*."));
	struct slice plain = is_wildcard ? slice_from(host, 2) : host;
	char address[INET6_ADDRSTRLEN];

	if (address_of(host, address))
		return add_address(names, address);
	if (jid_host_to_ascii(plain, ascii, sizeof(ascii)) < 0 || jid_prep_host(plain, unicode) < 0)
		return false;
	if (is_wildcard) {
		snprintf(service, sizeof(service), "*.%s", ascii);
		return add_dns_name(names, service);
	}
	if (!add_dns_name(names, ascii) || !add_other_name(names, OID_XMPP_ADDR, V_ASN1_UTF8STRING, unicode))
		return false;
	snprintf(service, sizeof(service), "_xmpp-client.%s", ascii);
	if (!add_other_name(names, OID_SRV_NAME, V_ASN1_IA5STRING, service))
		return false;
	snprintf(service, sizeof(service), "_xmpp-server.%s", ascii);
	return add_other_name(names, OID_SRV_NAME, V_ASN1_IA5STRING, service);
}

/* Pushes a guard with the names of options.names; NULL with nil and why pushed instead. */
static GENERAL_NAMES *l_push_wanted_names(lua_State *L)
{
	struct x509_guard *guard = l_x509_push_guard(L, x509_release_names);
	GENERAL_NAMES *names = guard->object = GENERAL_NAMES_new();

	luaL_argcheck(L, lua_getfield(L, 1, "names") == LUA_TTABLE, 1, "names = { host, ... } expected");
	lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
	luaL_argcheck(L, n >= 1 && n <= X509_NAMES_MAX, 1, "between 1 and 1000 names expected");
	for (lua_Integer i = 1; i <= n; i++) {
		luaL_argcheck(L, lua_rawgeti(L, -1, i) == LUA_TSTRING, 1, "names are texts");
		struct slice host;
		host.ptr = lua_tolstring(L, -1, &host.len);
		if (names == NULL || !add_host(names, host)) {
			lua_pushnil(L);
			lua_pushfstring(L, "%s is not a host name a certificate can hold", host.ptr);
			return NULL;
		}
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return names;
}

/* The name as a common name; false when it cannot be one. */
static bool common_name_of(const GENERAL_NAME *name, char into[COMMON_NAME_MAX + 1])
{
	int len = name->type == GEN_DNS || name->type == GEN_IPADD ? ASN1_STRING_length(name->d.ia5) : 0;
	const unsigned char *bytes = len > 0 ? ASN1_STRING_get0_data(name->d.ia5) : NULL;
	if (len <= 0 || len > COMMON_NAME_MAX)
		return false;
	if (name->type == GEN_IPADD)
		return inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, into, COMMON_NAME_MAX + 1) != NULL;
	memcpy(into, bytes, (size_t)len);
	into[len] = '\0';
	return true;
}

/* The first name that fits becomes the common name, for people who look; nobody else does. */
static bool set_subject(X509_NAME *subject, const GENERAL_NAMES *names)
{
	char text[COMMON_NAME_MAX + 1];
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		if (common_name_of(sk_GENERAL_NAME_value(names, i), text)) {
			const unsigned char *bytes = (const unsigned char *)text;
			return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, bytes, -1, -1, 0) == 1;
		}
	}
	return true; /* an empty subject is allowed beside alternative names */
}

static const EVP_MD *digest_for(const EVP_PKEY *key)
{
	int type = EVP_PKEY_get_base_id(key);
	return type == EVP_PKEY_ED25519 || type == EVP_PKEY_ED448 ? NULL : EVP_sha256();
}

/* subjectAltName (critical when there is no subject, RFC 5280 4.2.1.6), and what the certificate is for. */
static bool make_extensions(STACK_OF(X509_EXTENSION) **into, GENERAL_NAMES *names, bool has_subject)
{
	static const struct {
		int nid;
		const char *value;
	} plain[] = {
		{ NID_basic_constraints, "critical,CA:FALSE" },
		{ NID_key_usage, "critical,digitalSignature" },
		{ NID_ext_key_usage, "serverAuth,clientAuth" }, /* a server is the client of another server */
	};

	if (X509V3_add1_i2d(into, NID_subject_alt_name, names, has_subject ? 0 : 1, X509V3_ADD_DEFAULT) != 1)
		return false;
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, plain[i].nid, plain[i].value);
		if (extension == NULL || X509v3_add_ext(into, extension, -1) == NULL) {
			X509_EXTENSION_free(extension);
			return false;
		}
		X509_EXTENSION_free(extension);
	}
	return true;
}

/* 127 random bits, never 0: RFC 5280 4.1.2.2. */
static bool set_serial(X509 *cert)
{
	unsigned char bytes[16];
	random_bytes(bytes, sizeof(bytes));
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
	return ASN1_STRING_set(X509_get_serialNumber(cert), bytes, sizeof(bytes)) == 1;
}

static bool make_self_signed(X509 *cert, EVP_PKEY *key, GENERAL_NAMES *names, long days,
	STACK_OF(X509_EXTENSION) *extensions)
{
	X509_NAME *subject = X509_get_subject_name(cert);

	if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) || !set_subject(subject, names) ||
	    X509_set_issuer_name(cert, subject) != 1 || X509_set_pubkey(cert, key) != 1)
		return false;
	/* An hour back, for clocks that are behind. */
	if (X509_gmtime_adj(X509_getm_notBefore(cert), -3600) == NULL ||
	    X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, 0, NULL) == NULL)
		return false;
	for (int i = 0; i < sk_X509_EXTENSION_num(extensions); i++)
		if (X509_add_ext(cert, sk_X509_EXTENSION_value(extensions, i), -1) != 1)
			return false;
	return X509_sign(cert, key, digest_for(key)) > 0;
}

/* options.key and options.names checked, extensions made: pushes what it needs and gives false after nil, why. */
static bool l_prepare(lua_State *L, EVP_PKEY **key_r, GENERAL_NAMES **names_r, STACK_OF(X509_EXTENSION) **extensions_r)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "key");
	EVP_PKEY **handle = luaL_testudata(L, -1, KEY_TYPE);
	luaL_argcheck(L, handle != NULL && *handle != NULL, 1, "key = a key of load_key or generate_key expected");
	*key_r = *handle;
	if ((*names_r = l_push_wanted_names(L)) == NULL)
		return false;
	struct x509_guard *guard = l_x509_push_guard(L, release_extensions);
	STACK_OF(X509_EXTENSION) *extensions = NULL;
	bool has_subject = false;
	char text[COMMON_NAME_MAX + 1];
	for (int i = 0; i < sk_GENERAL_NAME_num(*names_r); i++)
		has_subject = has_subject || common_name_of(sk_GENERAL_NAME_value(*names_r, i), text);
	bool ok = make_extensions(&extensions, *names_r, has_subject);
	guard->object = extensions;
	*extensions_r = extensions;
	if (!ok)
		l_x509_fail_openssl(L, "the certificate's extensions cannot be made");
	return ok;
}

/* options.path, when there is one, gets what is in the BIO. 0, or an errno. */
static int l_write_to_path(lua_State *L, BIO *bio, const char **path_r)
{
	*path_r = lua_getfield(L, 1, "path") != LUA_TNIL ? luaL_checkstring(L, -1) : NULL;
	return *path_r != NULL ? write_new_file(*path_r, 0640, bio) : 0;
}

/* self_sign { key =, names = { host, ... }, days = 365, path = } -> certificate | nil, why. path is a new file, mode
 * 0640; without it nothing is written. */
static int l_self_sign(lua_State *L)
{
	EVP_PKEY *key;
	GENERAL_NAMES *names;
	STACK_OF(X509_EXTENSION) *extensions;
	const char *path;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer days = lua_getfield(L, 1, "days") != LUA_TNIL ? luaL_checkinteger(L, -1) : 365;
	luaL_argcheck(L, days >= 1 && days <= DAYS_MAX, 1, "between 1 and 36500 days");
	if (!l_prepare(L, &key, &names, &extensions))
		return 2;
	BIO *bio = l_x509_write_bio(L);
	X509 **cert = l_x509_push_cert(L);
	int index = lua_gettop(L);
	*cert = X509_new();
	if (*cert == NULL || !make_self_signed(*cert, key, names, (long)days, extensions) ||
	    PEM_write_bio_X509(bio, *cert) != 1)
		return l_x509_fail_openssl(L, "the certificate cannot be made");
	int failed = l_write_to_path(L, bio, &path);
	if (failed != 0)
		return l_fail_file(L, path, failed);
	lua_settop(L, index);
	return 1;
}

/* request { key =, names = { host, ... }, path = } -> certificate signing request as PEM (RFC 2986) | nil, why */
static int l_request(lua_State *L)
{
	EVP_PKEY *key;
	GENERAL_NAMES *names;
	STACK_OF(X509_EXTENSION) *extensions;
	const char *path;

	if (!l_prepare(L, &key, &names, &extensions))
		return 2;
	BIO *bio = l_x509_write_bio(L);
	struct x509_guard *guard = l_x509_push_guard(L, release_request);
	X509_REQ *request = guard->object = X509_REQ_new();
	if (request == NULL || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
	    !set_subject(X509_REQ_get_subject_name(request), names) || X509_REQ_set_pubkey(request, key) != 1 ||
	    X509_REQ_add_extensions(request, extensions) != 1 || X509_REQ_sign(request, key, digest_for(key)) <= 0 ||
	    PEM_write_bio_X509_REQ(bio, request) != 1)
		return l_x509_fail_openssl(L, "the request cannot be made");
	int failed = l_write_to_path(L, bio, &path);
	if (failed != 0)
		return l_fail_file(L, path, failed);
	l_x509_push_bio(L, bio);
	return 1;
}

static const luaL_Reg key_methods[] = {
	{ "type", l_key_type },
	{ NULL, NULL },
};

static const luaL_Reg makers[] = {
	{ "generate_key", l_generate_key },
	{ "load_key", l_load_key },
	{ "self_sign", l_self_sign },
	{ "request", l_request },
	{ NULL, NULL },
};

void l_x509_add_makers(lua_State *L)
{
	l_x509_make_type(L, KEY_TYPE, key_methods, l_key_gc);
	luaL_setfuncs(L, makers, 0);
}
