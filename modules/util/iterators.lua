--- Iterators: what can be done with the three values a generic `for` takes (function, state, variable).
-- Always true: functions that give an iterator are lazy where they can be; those that must see everything first
-- (reverse, tail, sorted_pairs) say so.
local ipairs, next, pairs, select, setmetatable, type = ipairs, next, pairs, select, setmetatable, type
local t_insert, t_pack, t_sort, t_unpack = table.insert, table.pack, table.sort, table.unpack

local _ENV = nil

local iterators = {}

--- The same results, last first. Collects all of them.
function iterators.reverse(f, s, var)
	local results = {}
	local function take(...)
		var = ...
		if var == nil then
			return false
		end
		results[#results + 1] = t_pack(...)
		return true
	end
	while take(f(s, var)) do end -- luacheck: ignore 542

	local i = #results + 1
	return function ()
		i = i - 1
		local result = results[i]
		if result then
			return t_unpack(result, 1, result.n)
		end
	end
end

--- The first result of each step: keys(t) or keys(pairs(t)).
function iterators.keys(f, s, var)
	if type(f) == "table" then
		return next, f
	end
	return function (state, key)
		return (f(state, key)) -- one value only
	end, s, var
end

--- The second result of each step: values(t) or values(pairs(t)).
function iterators.values(f, s, var)
	if type(f) == "table" then
		f, s, var = pairs(f)
	end
	return function ()
		local key, value = f(s, var)
		var = key
		if key ~= nil then
			return value
		end
	end
end

--- The nth results of each step (select's n), ending where the iterator does.
function iterators.select(n, f, s, var)
	local function pick(...)
		var = ...
		if var ~= nil then
			return (select(n, ...))
		end
	end
	return function ()
		return pick(f(s, var))
	end
end

--- The table's pairs in the order of their keys (before: as for table.sort). Sorts first.
function iterators.sorted_pairs(t, before)
	local keys = {}
	for key in pairs(t) do
		keys[#keys + 1] = key
	end
	t_sort(keys, before)
	local i = 0
	return function ()
		i = i + 1
		local key = keys[i]
		if key ~= nil then
			return key, t[key]
		end
	end
end

--- ipairs from the end.
function iterators.ripairs(t)
	return function (list, i)
		i = i - 1
		if i > 0 then
			return i, list[i]
		end
	end, t, #t + 1
end

--- x, x + 1 ... y; with one argument 1 ... x.
function iterators.range(x, y)
	if y == nil then
		x, y = 1, x
	end
	return function (last, i)
		if i < last then
			return i + 1
		end
	end, y, x - 1
end

--- Each first result once.
function iterators.unique(f, s, var)
	local seen = {}
	return function ()
		repeat
			var = f(s, var)
		until var == nil or not seen[var]
		if var ~= nil then
			seen[var] = true
		end
		return var
	end
end

--- How many steps it takes.
function iterators.count(f, s, var)
	local n = 0
	for _ in f, s, var do
		n = n + 1
	end
	return n
end

--- The first n steps.
function iterators.head(n, f, s, var)
	local done = 0
	return function (state, v)
		if done < n then
			done = done + 1
			return f(state, v)
		end
	end, s, var
end

--- All but the first n steps.
function iterators.skip(n, f, s, var)
	for _ = 1, n do
		var = f(s, var)
		if var == nil then
			return function () end
		end
	end
	return f, s, var
end

--- The last n steps. Runs the iterator, remembering n results.
function iterators.tail(n, f, s, var)
	local ring, seen = {}, 0
	local function take(...)
		var = ...
		if var == nil then
			return false
		end
		ring[seen % n + 1] = t_pack(...)
		seen = seen + 1
		return true
	end
	if n > 0 then
		while take(f(s, var)) do end -- luacheck: ignore 542
	end

	local i = seen > n and seen - n or 0
	return function ()
		if i < seen then
			local result = ring[i % n + 1]
			i = i + 1
			return t_unpack(result, 1, result.n)
		end
	end
end

--- The steps for which wanted(...) is true; a `wanted` that is no function is a value to leave out.
function iterators.filter(wanted, f, s, var)
	if type(wanted) ~= "function" then
		local unwanted = wanted
		wanted = function (value) return value ~= unwanted end
	end
	local step
	local function judge(...)
		var = ...
		if var == nil then
			return nil
		elseif wanted(...) then
			return true, ...
		end
		return false
	end
	local function give(found, ...)
		if found then
			return ...
		elseif found == false then
			return step()
		end
	end
	function step()
		return give(judge(f(s, var)))
	end
	return step
end

--- An array of the first results; to_array(t) gives the values of a table.
function iterators.to_array(f, s, var)
	if type(f) == "table" then
		f, s, var = iterators.values(f)
	end
	local list = {}
	for value in f, s, var do
		list[#list + 1] = value
	end
	return list
end

--- A table of first result -> second result.
function iterators.to_table(f, s, var)
	local t = {}
	for key, value in f, s, var do
		t[key] = value
	end
	return t
end

-- Several iterators one after the other. A join is callable, so `for` takes it as it is.
local join_methods = {}
local join_mt = { __index = join_methods }

--- join(iter1):append(iter2):prepend(iter0): walks them in that order.
function iterators.join(f, s, var)
	return setmetatable({ { f, s, var } }, join_mt)
end

--- Adds another iterator behind, or in front of, those there are. Gives the joined one.
function join_methods:append(f, s, var)
	t_insert(self, { f, s, var })
	return self
end

function join_methods:prepend(f, s, var)
	t_insert(self, 1, { f, s, var })
	return self
end

function join_mt:__call()
	local function give(current, ...)
		local first = ...
		if first == nil then
			self.at = self.at + 1
			return self()
		end
		current[3] = first
		return ...
	end
	self.at = self.at or 1
	local current = self[self.at]
	if current then
		return give(current, current[1](current[2], current[3]))
	end
end

--- The members of every list an iterator gives.
function iterators.flatten(f, s, var)
	local list, i = {}, 0
	return function ()
		i = i + 1
		while list[i] == nil do
			var = f(s, var)
			if var == nil then
				return nil
			end
			list, i = var, 1
		end
		return list[i]
	end
end

--- Does any step satisfy the function?
function iterators.any(wanted, f, s, var)
	for value in f, s, var do
		if wanted(value) then
			return true
		end
	end
	return false
end

iterators.ipairs = ipairs

return iterators
