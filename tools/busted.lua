-- Runs busted under the interpreter that runs this file, so that it does not matter which Lua `busted` itself would pick.
require "busted.runner" { standalone = false }
