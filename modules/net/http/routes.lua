--- Events whose names end in paths: an events object (as util.events gives) in which a handler for "GET host/a/*" hears
-- of "GET host/a/b" too.
-- Always true: handlers run by priority; of the same priority the whole name goes before a wildcard, a longer wildcard
-- before a shorter one, and then the one added first. Looking up a name costs the number of different lengths of
-- wildcards, whatever a peer sends; what was found is kept, within limits.
local ipairs, next, pairs = ipairs, next, pairs
local s_byte, s_match, s_sub = string.byte, string.match, string.sub
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

-- Kept of what was found, for each method and host: so many paths, of no more bytes.
local FOUND_MAX, FOUND_BYTES = 1000, 200

--- Gives an events object. Its functions are called with a dot.
local function new()
	local places = {}   -- method -> host -> place; see add_place
	local wrappers = {} -- event name, or false for all -> list
	local has_wrappers = false
	local order = 0

	-- "GET host/path" -> "GET", "host", "/path"; whatever has no path is one.
	local function parts_of(name)
		local method, host, path = s_match(name, "^(%S+) ([^/]*)(/.*)$")
		return method or "", host or "", path or name
	end

	local function place_of(method, host)
		local by_host = places[method]
		return by_host and by_host[host]
	end

	local function add_place(method, host)
		places[method] = places[method] or {}
		local place = {
			whole = {}, wild = {},     -- path, or what is before its "*" -> sorted list of entries; never changed in place
			lengths = {},              -- of the latter, each once
			found = {}, n_found = 0,   -- path -> what find has given, until something is added or removed
		}
		places[method][host] = place
		return place
	end

	local function map_of(place, path)
		if s_sub(path, -2) == "/*" then
			return place.wild, s_sub(path, 1, -2)
		end
		return place.whole, path
	end

	local function update(place, method, host)
		local seen = {}
		place.lengths, place.found, place.n_found = {}, {}, 0
		for prefix in pairs(place.wild) do
			if not seen[#prefix] then
				seen[#prefix] = true
				t_insert(place.lengths, #prefix)
			end
		end
		if not next(place.whole) and not next(place.wild) then
			places[method][host] = nil
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
		local method, host, path = parts_of(name)
		local place = place_of(method, host) or add_place(method, host)
		local map, key = map_of(place, path)
		order = order + 1
		local list = without(map[key], handler)
		local weight = map == place.whole and 1 << 30 or #key
		t_insert(list, { handler = handler, priority = priority or 0, weight = weight, order = order })
		t_sort(list, comes_before)
		map[key] = list
		update(place, method, host)
	end

	local function remove_handler(name, handler)
		local method, host, path = parts_of(name)
		local place = place_of(method, host)
		if not place then
			return
		end
		local map, key = map_of(place, path)
		local list = without(map[key], handler)
		map[key] = next(list) and list or nil
		update(place, method, host)
	end

	local function look_up(place, path)
		local found, is_own = place.whole[path], false
		for _, length in ipairs(place.lengths) do
			local list = length <= #path and s_byte(path, length) == SLASH and place.wild[s_sub(path, 1, length)]
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

	--- The entries that hear of "METHOD host/path", in order; nil when none does. host "": of "METHOD /path".
	local function find(method, host, path)
		local by_host = places[method]
		local place = by_host and by_host[host]
		if not place then
			return nil
		end
		local found = place.found[path]
		if not found then
			found = look_up(place, path)
			if found and #path <= FOUND_BYTES then
				if place.n_found >= FOUND_MAX then -- peers choose what comes after a wildcard
					place.found, place.n_found = {}, 0
				end
				place.found[path], place.n_found = found, place.n_found + 1
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
		return call(find(parts_of(name)) or {}, data)
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

	--- fire_event("METHOD host/path", data), when find has given the entries already.
	local function fire_found(entries, data, method, host, path)
		if has_wrappers then
			return fire_event(method .. " " .. host .. path, data)
		end
		return call(entries, data)
	end

	local function add_wrapper(name, wrapper)
		wrappers[name] = wrappers[name] or {}
		t_insert(wrappers[name], 1, wrapper)
		has_wrappers = true
	end

	local function remove_wrapper(name, wrapper)
		local list = wrappers[name] or {}
		for i = #list, 1, -1 do
			if list[i] == wrapper then
				t_remove(list, i)
			end
		end
		wrappers[name] = next(list) and list or nil
		has_wrappers = next(wrappers) ~= nil -- `false` is a key
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
