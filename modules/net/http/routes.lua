--- Events whose names end in paths: an events object (as util.events gives) in which a handler for "GET host/a/*" hears
-- of "GET host/a/b" too.
-- Always true: handlers run by priority; of the same priority the whole name goes before a wildcard, a longer wildcard
-- before a shorter one, and then the one added first. Looking up a name costs the number of different lengths of
-- wildcards, whatever a peer sends.
local ipairs, next, pairs = ipairs, next, pairs
local s_byte, s_sub = string.byte, string.sub
local t_insert, t_move, t_remove, t_sort = table.insert, table.move, table.remove, table.sort

local _ENV = nil

local SLASH = s_byte("/")

local function comes_before(a, b)
	if a.priority ~= b.priority then
		return a.priority > b.priority
	elseif a.weight ~= b.weight then
		return a.weight > b.weight
	end
	return a.order < b.order
end

--- Gives an events object. Its functions are called with a dot.
local function new()
	local whole, wild = {}, {} -- name or prefix -> sorted list of entries; never changed in place
	local lengths = {}         -- of the prefixes in `wild`, each once
	local found_whole = {}     -- what find gave for names of `whole`, until something is added or removed
	local wrappers = {}        -- event name, or false for all -> list
	local order = 0

	local function place_of(name)
		if s_sub(name, -2) == "/*" then
			return wild, s_sub(name, 1, -2)
		end
		return whole, name
	end

	local function update()
		local seen = {}
		lengths, found_whole = {}, {}
		for prefix in pairs(wild) do
			if not seen[#prefix] then
				seen[#prefix] = true
				t_insert(lengths, #prefix)
			end
		end
	end

	local function without(list, handler)
		local kept = {}
		for _, entry in ipairs(list or {}) do
			if entry.handler ~= handler then
				t_insert(kept, entry)
			end
		end
		return kept
	end

	local function add_handler(name, handler, priority)
		local map, key = place_of(name)
		order = order + 1
		local list = without(map[key], handler)
		local weight = map == whole and 1 << 30 or #key
		t_insert(list, { handler = handler, priority = priority or 0, weight = weight, order = order })
		t_sort(list, comes_before)
		map[key] = list
		update()
	end

	local function remove_handler(name, handler)
		local map, key = place_of(name)
		local list = without(map[key], handler)
		map[key] = next(list) and list or nil
		update()
	end

	local function look_up(name)
		local found, is_own = whole[name], false
		for _, length in ipairs(lengths) do
			local list = length <= #name and s_byte(name, length) == SLASH and wild[s_sub(name, 1, length)]
			if list and found then
				if not is_own then
					found, is_own = t_move(found, 1, #found, 1, {}), true
				end
				t_move(list, 1, #list, #found + 1, found)
			elseif list then
				found = list
			end
		end
		if is_own then
			t_sort(found, comes_before)
		end
		return found
	end

	--- The entries that hear of the name, in order; nil when none does.
	local function find(name)
		local found = found_whole[name]
		if not found then
			found = look_up(name)
			if whole[name] then -- only names that somebody added: peers cannot make this grow
				found_whole[name] = found
			end
		end
		return found
	end

	local function call(entries, data)
		for i = 1, #entries do
			local result = entries[i].handler(data)
			if result ~= nil then
				return result
			end
		end
		return nil
	end

	local function fire(name, data)
		return call(find(name) or {}, data)
	end

	local function fire_event(name, data)
		local all = {}
		for _, key in ipairs { false, name } do
			for _, wrapper in ipairs(wrappers[key] or {}) do
				t_insert(all, wrapper)
			end
		end
		local function step(i)
			if not all[i] then
				return fire
			end
			return function (step_name, step_data)
				return all[i](step(i + 1), step_name, step_data)
			end
		end
		return step(1)(name, data)
	end

	--- fire_event(name, data), when find(name) has given the entries already.
	local function fire_found(name, entries, data)
		if next(wrappers) ~= nil then -- `false` is a key
			return fire_event(name, data)
		end
		return call(entries, data)
	end

	local function add_wrapper(name, wrapper)
		wrappers[name] = wrappers[name] or {}
		t_insert(wrappers[name], 1, wrapper)
	end

	local function remove_wrapper(name, wrapper)
		local list = wrappers[name] or {}
		for i = #list, 1, -1 do
			if list[i] == wrapper then
				t_remove(list, i)
			end
		end
		wrappers[name] = next(list) and list or nil
	end

	local function each(fn, handlers)
		for name, handler in pairs(handlers) do
			fn(name, handler)
		end
	end

	return {
		add_handler = add_handler, remove_handler = remove_handler,
		add_handlers = function (handlers) each(add_handler, handlers) end,
		remove_handlers = function (handlers) each(remove_handler, handlers) end,
		add_wrapper = add_wrapper, remove_wrapper = remove_wrapper,
		wrappers = { add_handler = add_wrapper, remove_handler = remove_wrapper },
		fire_event = fire_event, find = find, fire_found = fire_found,
	}
end

return { new = new }
