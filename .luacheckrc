std = "lua54"
cache = false
max_line_length = 120
unused_args = false
ignore = { "143/table", "211/_ENV" }
exclude_files = { "build", "data" }

files["modules/mod_*"] = { read_globals = { "module", "prosody", "hosts" }, globals = { "module", "prosody" } }
files["plugins"] = { globals = { "module" }, read_globals = { "prosody" } }
files["spec"] = { std = "+busted", globals = { "prosody" } }
files["modules/core"] = { globals = { "prosody", "hosts" } }
files["modules/util"] = { globals = { "prosody" } }
files["modules/net"] = { globals = { "prosody" } }
files["*.cfg.lua"] = { allow_defined = true, ignore = { "1" } }
files["tools/couplet.cfg.lua"] = { ignore = { "1" } }
files["configure"] = { ignore = { "." } }
