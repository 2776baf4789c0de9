--- COMPAT Lua 5.1, whose xpcall took no arguments for the function.
return { xpcall = xpcall }
