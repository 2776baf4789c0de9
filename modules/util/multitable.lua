--- Tables of tables: values found by several keys.
-- Always true: `data` nests one table per key; no empty table is left inside after remove or set(..., nil). In search,
-- iter and remove a nil among the keys matches any key.
local pairs, next, select, setmetatable, type = pairs, next, select, setmetatable, type
local t_insert, t_pack, t_unpack = table.insert, table.pack, table.unpack

local _ENV = nil

local methods = {}
local multitable_mt = { __index = methods, __name = "multitable" }

local function new()
	return setmetatable({ data = {} }, multitable_mt)
end

--- get(k1, k2, ...): the value there, or the table below; nil when nothing is.
function methods:get(...)
	local t = self.data
	for i = 1, select("#", ...) do
		if type(t) ~= "table" then
			return nil
		end
		t = t[(select(i, ...))]
	end
	return t
end

-- Goes down along the keys before the last, making tables where `create`; gives the innermost and the last key.
local function descend(self, create, keys, n)
	local t = self.data
	for i = 1, n - 1 do
		local inner = t[keys[i]]
		if inner == nil then
			if not create then
				return nil
			end
			inner = {}
			t[keys[i]] = inner
		end
		t = inner
	end
	return t, keys[n]
end

-- Removes what matches keys[at..n] from t.
local function prune(t, keys, at, n)
	local key = keys[at]
	if at == n then
		if key == nil then
			for k in pairs(t) do
				t[k] = nil
			end
		else
			t[key] = nil
		end
		return
	end
	local function inside(k)
		local inner = t[k]
		if type(inner) == "table" then
			prune(inner, keys, at + 1, n)
			if next(inner) == nil then
				t[k] = nil
			end
		end
	end
	if key == nil then
		for k in pairs(t) do
			inside(k)
		end
	else
		inside(key)
	end
end

--- set(k1, k2, ..., value)
function methods:set(...)
	local n = select("#", ...) - 1
	local keys = t_pack(...)
	local value = keys[n + 1]
	if value == nil then
		prune(self.data, keys, 1, n)
		return
	end
	local t, key = descend(self, true, keys, n)
	t[key] = value
end

--- add(k1, k2, ..., value): appends to the list there.
function methods:add(...)
	local n = select("#", ...) - 1
	local keys = t_pack(...)
	local t, key = descend(self, true, keys, n)
	if t[key] == nil then
		t[key] = {}
	end
	t_insert(t[key], keys[n + 1])
end

--- remove(k1, k2, ...): forgets all that matches.
function methods:remove(...)
	prune(self.data, t_pack(...), 1, select("#", ...))
end

--- for k1, k2, ..., value in mt:iter(q1, q2, ...): everything that matches, as many levels deep as there are keys.
function methods:iter(...)
	local query, depth = t_pack(...), select("#", ...)
	local stack, keys, at = { self.data }, {}, 1
	return function ()
		while at > 0 do
			local t, wanted, key = stack[at], query[at], keys[at]
			if wanted == nil then
				key = next(t, key)
			elseif key == nil and t[wanted] ~= nil then
				key = wanted
			else
				key = nil
			end
			keys[at] = key
			if key == nil then
				at = at - 1
			elseif at == depth then
				local result = { t_unpack(keys, 1, depth) }
				result[depth + 1] = t[key]
				return t_unpack(result, 1, depth + 1)
			elseif type(t[key]) == "table" then
				at = at + 1
				stack[at] = t[key]
				keys[at] = nil
			end
		end
	end
end

--- Appends every value that matches to `results`.
function methods:search_add(results, ...)
	local n = select("#", ...)
	local function collect(...)
		if select("#", ...) == 0 or (...) == nil then
			return false
		end
		t_insert(results, (select(n + 1, ...)))
		return true
	end
	local step = self:iter(...)
	while collect(step()) do end -- luacheck: ignore 542
	return results
end

--- A list of the values that match.
function methods:search(...)
	return self:search_add({}, ...)
end

return {
	new = new,
	iter = methods.iter,
}
