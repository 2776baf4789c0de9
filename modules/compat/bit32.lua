--- COMPAT Lua 5.2: require "bit32".
return require "prosody.util.bitcompat"
