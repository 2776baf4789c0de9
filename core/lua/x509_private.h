/* What lua_x509.c (reading certificates) and lua_x509_make.c (keys, and making certificates) share. */
#ifndef LUA_X509_PRIVATE_H
#define LUA_X509_PRIVATE_H

#include <lauxlib.h>
#include <openssl/x509.h>

#define X509_CERT_TYPE "couplet.x509"
#define X509_NAMES_MAX 1000
#define OID_SRV_NAME "1.3.6.1.5.5.7.8.7"
#define OID_XMPP_ADDR "1.3.6.1.5.5.7.8.5"

/* What OpenSSL gives, in the hands of the collector, so that nothing leaks when a function raises. */
struct x509_guard {
	void *object;
	void (*release)(void *object);
};

/* Pushes an empty guard. Fill guard->object; it is released with the userdata at the latest. */
struct x509_guard *l_x509_push_guard(lua_State *L, void (*release)(void *object));
/* Pushes a guarded BIO to write to. */
BIO *l_x509_write_bio(lua_State *L);
/* Pushes what was written to it, as a string. */
void l_x509_push_bio(lua_State *L, BIO *bio);

/* Push nil and a text and give 2: plain, or with OpenSSL's reason behind it. */
int l_x509_fail(lua_State *L, const char *text);
int l_x509_fail_openssl(lua_State *L, const char *what);

/* Pushes an empty certificate handle, to be filled at once. */
X509 **l_x509_push_cert(lua_State *L);
X509 *l_x509_check_cert(lua_State *L, int arg);

void x509_release_bio(void *object);
void x509_release_names(void *object);

/* cert:matches(key) */
int l_x509_matches(lua_State *L);
/* Makes a userdata type whose metatable nobody gets at. */
void l_x509_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);
/* Adds generate_key, load_key, self_sign and request to the library on top of the stack. */
void l_x509_add_makers(lua_State *L);

#endif
