/* util.xml: whole documents to stanzas, through the one parser there is, so with all its protections. */
#include <lauxlib.h>

#include "lua/bind.h"
#include "lua/libs.h"
#include "lua/lua_stanza.h"
#include "xml/parser.h"

/* What a feed or a stored archive may need; a stream's limits would be too small. */
static const struct parser_limits document_limits = {
	.stanza_bytes = 8 << 20, .tag_bytes = 64 << 10, .depth = 256, .elements = 1 << 16, .attributes = 128,
	.ns_bytes = 1024,
};

static const char *parse(const struct parser_limits *limits, struct slice text, bool comments, bool instructions,
	struct stanza **stanza_r)
{
	struct parser *parser = parser_new_document(limits);
	struct stanza *junk = NULL;
	const char *error = NULL;
	parser_allow(parser, comments, instructions);
	parser_push(parser, text);
	switch (parser_next(parser, stanza_r)) {
	case PARSER_FAILED:
		error = parser_text(parser);
		break;
	case PARSER_STANZA:
		if (parser_next(parser, &junk) != PARSER_MORE || parser_has_rest(parser))
			error = "junk after document element";
		break;
	default:
		error = "unexpected end of document";
	}
	if (error != NULL)
		stanza_free(stanza_r);
	stanza_free(&junk);
	parser_free(&parser);
	return error;
}

static bool l_option(lua_State *L, const char *name)
{
	if (lua_isnoneornil(L, 2))
		return false;
	lua_getfield(L, 2, name);
	bool value = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return value;
}

/* parse(text[, { allow_comments =, allow_processing_instructions = }]) -> stanza, or nil and what is wrong. What is
 * allowed is skipped; a DTD never is. */
static int l_parse(lua_State *L)
{
	struct slice text = l_check_slice(L, 1);
	bool comments = l_option(L, "allow_comments"), instructions = l_option(L, "allow_processing_instructions");
	struct stanza *stanza = NULL;
	const char *error = parse(&document_limits, text, comments, instructions, &stanza);
	if (error != NULL) {
		lua_pushnil(L);
		lua_pushstring(L, error);
		return 2;
	}
	l_push_stanza(L, &stanza);
	return 1;
}

static const luaL_Reg functions[] = {
	{ "parse", l_parse },
	{ NULL, NULL },
};

int l_open_xml(lua_State *L)
{
	luaL_newlib(L, functions);
	return 1;
}
