--- Events in plain Lua, for objects that modules make themselves (a pubsub service, an HTTP server). Hosts use the
-- core's, which behave the same.
-- Always true: handlers run by priority, highest first, equal ones in the order they were added; the first result that
-- is not nil ends the event and is its result. A firing sees the handlers that were there when it began, less those
-- removed since.
local ipairs, next, pairs = ipairs, next, pairs
local t_insert, t_remove, t_sort = table.insert, table.remove, table.sort

local _ENV = nil

--- Gives an events object. Its functions are called with a dot: events.add_handler(name, fn, priority).
local function new()
	-- Event -> handler -> { priority, place in the order of adding }
	local event_map = {}
	-- Event -> sorted list of handlers, made when needed and never changed afterwards.
	local sorted = {}
	local place = 0
	local debug_hook
	-- Event -> list of wrappers, the one added last comes first; false: for all events.
	local wrappers = {}

	local function sort(name)
		local entries = event_map[name]
		if not entries then
			return nil
		end
		local list = {}
		for handler in pairs(entries) do
			list[#list + 1] = handler
		end
		t_sort(list, function (a, b)
			local entry_a, entry_b = entries[a], entries[b]
			if entry_a.priority ~= entry_b.priority then
				return entry_a.priority > entry_b.priority
			end
			return entry_a.place < entry_b.place
		end)
		sorted[name] = list
		return list
	end

	--- Adds fn for the event; adding it again only changes its priority (0).
	local function add_handler(name, handler, priority)
		local entries = event_map[name]
		if not entries then
			entries = {}
			event_map[name] = entries
		end
		place = place + 1
		entries[handler] = { priority = priority or 0, place = place }
		sorted[name] = nil
	end

	local function remove_handler(name, handler)
		local entries = event_map[name]
		if not entries or not entries[handler] then
			return
		end
		entries[handler] = nil
		sorted[name] = nil
		if next(entries) == nil then
			event_map[name] = nil
		end
	end

	--- Adds a table of event -> handler.
	local function add_handlers(handlers)
		for name, handler in pairs(handlers) do
			add_handler(name, handler)
		end
	end

	local function remove_handlers(handlers)
		for name, handler in pairs(handlers) do
			remove_handler(name, handler)
		end
	end

	local function run(name, data)
		local list = sorted[name] or sort(name)
		if not list then
			return nil
		end
		for i = 1, #list do
			local handler = list[i]
			local entries = event_map[name]
			if entries and entries[handler] then
				local result
				if debug_hook then
					result = debug_hook(handler, name, data)
				else
					result = handler(data)
				end
				if result ~= nil then
					return result
				end
			end
		end
		return nil
	end

	-- Wrappers of the event itself are outside, those of all events inside.
	local function run_wrapped(name, data, own, all, i)
		local n_own = own and #own or 0
		local wrapper
		if i <= n_own then
			wrapper = own[i]
		else
			wrapper = all and all[i - n_own]
		end
		if not wrapper then
			return run(name, data)
		end
		return wrapper(function (next_name, next_data)
			if next_name ~= name then -- the wrapper made another event of it
				return run(next_name, next_data)
			end
			return run_wrapped(name, next_data, own, all, i + 1)
		end, name, data)
	end

	--- Runs the handlers; gives the first result that is not nil.
	local function fire_event(name, data)
		local own, all = wrappers[name], wrappers[false]
		if own or all then
			return run_wrapped(name, data, own, all, 1)
		end
		return run(name, data)
	end

	--- Puts fn(go_on, name, data) around the whole event; it calls go_on(name, data) to run what it wraps. name false:
	-- around every event.
	local function add_wrapper(name, wrapper)
		local list = { wrapper }
		for i, other in ipairs(wrappers[name or false] or {}) do
			list[i + 1] = other
		end
		wrappers[name or false] = list
	end

	local function remove_wrapper(name, wrapper)
		local list = {}
		for _, other in ipairs(wrappers[name or false] or {}) do
			t_insert(list, other)
		end
		for i, other in ipairs(list) do
			if other == wrapper then
				t_remove(list, i)
				break
			end
		end
		wrappers[name or false] = list[1] and list or nil
	end

	--- hook(handler, name, data) is called instead of each handler, and must call it. Gives the hook before.
	local function set_debug_hook(hook)
		local before = debug_hook
		debug_hook = hook
		return before
	end

	--- The handlers of one event in order, or nil.
	local function get_handlers(name)
		return sorted[name] or sort(name)
	end

	--- A table of event -> handlers in order.
	local function get_mappings()
		for name in pairs(event_map) do
			get_handlers(name)
		end
		return sorted
	end

	return {
		add_handler = add_handler,
		remove_handler = remove_handler,
		add_handlers = add_handlers,
		remove_handlers = remove_handlers,
		get_handlers = get_handlers,
		get_mappings = get_mappings,
		fire_event = fire_event,
		add_wrapper = add_wrapper,
		remove_wrapper = remove_wrapper,
		wrappers = { add_handler = add_wrapper, remove_handler = remove_wrapper },
		set_debug_hook = set_debug_hook,
		_event_map = event_map,
		_handlers = sorted,
	}
end

return { new = new }
