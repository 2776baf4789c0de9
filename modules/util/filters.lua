--- Filters: functions that see, change or drop what goes through a session.
--
-- What the core does: for every session that initialize was called for it calls `session.filter(type, data)` and goes
-- on with the result; nil means the data is dropped. It may skip the call where `session.filters[type]` is nil: then
-- there is no filter of that type, and the result would be the data itself. For sessions of its own it is told when
-- that changes (native.set_filters). Types are "stanzas/in", "stanzas/out" (stanza objects) and "bytes/in", "bytes/out"
-- (strings).
--
-- Always true: `session.filters[type]` is nil or a list that is not empty, highest priority first, equal ones in the
-- order they were added. Lists are replaced, never changed, so filters may come and go while one runs.
local ipairs, pcall, require, type = ipairs, pcall, require, type
local t_insert, t_remove = table.insert, table.remove

local _ENV = nil

local set_filters
do
	local found, native = pcall(require, "couplet.native")
	set_filters = found and type(native) == "table" and native.set_filters or function () end
end

local function tell_core(session)
	local filters = session.filters
	set_filters(session, (filters["stanzas/in"] or filters["stanzas/out"]) ~= nil,
		(filters["bytes/in"] or filters["bytes/out"]) ~= nil)
end

-- Called with each session that starts to be filtered.
local session_hooks = {}

--- Makes session.filters and session.filter; once per session, further calls only give session.filter.
local function initialize(session)
	if session.filters then
		return session.filter
	end
	local filters = {}
	session.filters = filters

	local function filter(kind, data)
		local list = filters[kind]
		if list then
			for i = 1, #list do
				data = list[i].callback(data, session)
				if data == nil then
					return nil
				end
			end
		end
		return data
	end
	session.filter = filter

	for _, hook in ipairs(session_hooks) do
		hook(session)
	end
	return filter
end

--- Adds callback(data, session) -> data or nil.
local function add_filter(session, kind, callback, priority)
	if not session.filters then
		initialize(session)
	end
	priority = priority or 0
	local list, added = {}, false
	for _, entry in ipairs(session.filters[kind] or {}) do
		if not added and entry.priority < priority then
			t_insert(list, { callback = callback, priority = priority })
			added = true
		end
		t_insert(list, entry)
	end
	if not added then
		t_insert(list, { callback = callback, priority = priority })
	end
	session.filters[kind] = list
	tell_core(session)
end

local function remove_filter(session, kind, callback)
	local old = session.filters and session.filters[kind]
	if not old then
		return
	end
	local list = {}
	for _, entry in ipairs(old) do
		if entry.callback ~= callback then
			t_insert(list, entry)
		end
	end
	session.filters[kind] = list[1] and list or nil
	tell_core(session)
end

--- hook(session) is called for each session that starts to be filtered from now on.
local function add_filter_hook(hook)
	t_insert(session_hooks, hook)
end

local function remove_filter_hook(hook)
	for i = #session_hooks, 1, -1 do
		if session_hooks[i] == hook then
			t_remove(session_hooks, i)
		end
	end
end

return {
	initialize = initialize,
	add_filter = add_filter,
	remove_filter = remove_filter,
	add_filter_hook = add_filter_hook,
	remove_filter_hook = remove_filter_hook,
}
