-- Runs busted under the interpreter that runs this file, whichever Lua `busted` itself would pick.
require "busted.runner" { standalone = false }
