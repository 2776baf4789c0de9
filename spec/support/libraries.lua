--- Libraries of the server with others in the place of those below them, for specs that turn the world by hand.
--
--	local timer, restore = libraries.with("util.timer", { ["couplet.native"] = native })
--	restore()                          afterwards everything is as it was

local libraries = {}

-- Both names of a library.
local function names_of(name)
	return name:match "^%a+%." and not name:match "^couplet%." and { name, "prosody." .. name } or { name }
end

--- A fresh library of that name, made while those (name -> table) stand for others; and a function that puts back what
-- was there before.
function libraries.with(wanted, others)
	local saved = {}
	local function put(name, library)
		for _, one in ipairs(names_of(name)) do
			saved[one] = package.loaded[one] or false
			package.loaded[one] = library
		end
	end
	put(wanted, nil)
	for name, library in pairs(others) do put(name, library) end
	return require(wanted), function ()
		for name, library in pairs(saved) do package.loaded[name] = library or nil end
	end
end

return libraries
