--- Command line arguments: --name, --name=value, --name value, -n, --no-name.
-- Always true: options are taken out of `arg`, positional arguments stay in it in their order.
local ipairs, pairs, setmetatable = ipairs, pairs, setmetatable
local s_find, s_match, s_sub = string.find, string.match, string.sub
local t_insert, t_remove = table.insert, table.remove

local _ENV = nil

--- parse(arg, config): a table of options with the positional arguments as its list. config:
--   short_params       letter -> name ({ v = "verbose" })
--   value_params       name -> true: takes a value (a required one)
--   array_params       name -> true: may be repeated, is a list
--   kv_params          name -> true: -Oname=value style, is a table of key -> value
--   stop_on_positional (true) false: options may follow positional arguments
--   strict             true: a long option that is not known is an error
-- An error is nil, "missing-value" or "param-not-found" (or "duplicate-param"), and the argument as it was written.
local function parse(arg, config)
	config = config or {}
	local short_params, value_params = config.short_params or {}, config.value_params or {}
	local array_params, kv_params = config.array_params or {}, config.kv_params or {}
	local stop_on_positional = config.stop_on_positional ~= false
	local known = setmetatable({}, { __index = value_params })
	for _, name in pairs(short_params) do
		known[name] = true
	end
	for _, params in ipairs { array_params, kv_params, config.params or {} } do
		for name in pairs(params) do
			known[name] = true
		end
	end

	local options = {}
	local at = 1
	while true do
		local raw = arg[at]
		if not raw then
			break
		elseif raw == "--" then -- all that follows is positional
			t_remove(arg, at)
			break
		elseif s_sub(raw, 1, 1) ~= "-" or raw == "-" then
			if stop_on_positional then
				break
			end
			at = at + 1
			goto continue
		end
		t_remove(arg, at)

		do
			local name, value
			if s_sub(raw, 1, 2) == "--" then
				name = s_sub(raw, 3)
			else
				-- A letter, and perhaps its value: -pvalue, -p=value; or more letters: -abc.
				local letter, rest = s_match(raw, "^%-(.)=?(.*)$")
				name = short_params[letter]
				if not name then
					return nil, "param-not-found", raw
				end
				if rest ~= "" then
					if value_params[name] or array_params[name] or kv_params[name] or s_find(raw, "^..=") then
						value = rest
					else
						t_insert(arg, at, "-" .. rest)
					end
				end
			end

			local before, after = s_match(name, "^([^=]+)=(.*)$")
			if before then
				name, value = before, after
			end
			local takes_value = value_params[name] or array_params[name] or kv_params[name]
			if value == nil then
				if takes_value then
					value = t_remove(arg, at)
					if value == nil then
						return nil, "missing-value", raw
					end
				elseif s_match(name, "^no%-.") and not known[name] then
					name, value = s_sub(name, 4), false
				else
					value = true
				end
			end

			if config.strict and not known[name] then
				return nil, "param-not-found", raw
			elseif array_params[name] then
				options[name] = options[name] or {}
				t_insert(options[name], value)
			elseif kv_params[name] then
				local key, key_value = s_match(value, "^([^=]+)=(.*)$")
				if not key then
					return nil, "missing-value", raw
				end
				options[name] = options[name] or {}
				options[name][key] = key_value
			else
				options[name] = value
			end
		end
		::continue::
	end
	for i, positional in ipairs(arg) do
		options[i] = positional
	end
	return options
end

return { parse = parse }
