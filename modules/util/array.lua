--- Arrays: tables with list methods.
-- array(list) gives the list itself its methods; array(iterator, state, var) collects an iterator.
-- Always true: what changes a list exists twice, as a method that works in place and returns the array
-- (`list:map(f)`), and as a function that leaves its input alone and returns a new array (`array.map(list, f)`).
local getmetatable, ipairs, pairs, setmetatable, tostring, type =
	getmetatable, ipairs, pairs, setmetatable, tostring, type
local math_random = math.random
local t_concat, t_insert, t_move, t_remove, t_sort, t_unpack =
	table.concat, table.insert, table.move, table.remove, table.sort, table.unpack

local _ENV = nil

local methods = {}
local array_mt = { __index = methods, __name = "array" }

local function collect(iterator, state, var)
	local out, n = {}, 0
	for value in iterator, state, var do
		n = n + 1
		out[n] = value
	end
	return setmetatable(out, array_mt)
end

local function new(list, state, var)
	if type(list) == "function" then
		return collect(list, state, var)
	end
	return setmetatable(list or {}, array_mt)
end

-- Cuts what an in-place change left behind the new end.
local function truncate(list, new_length, old_length)
	for i = new_length + 1, old_length do
		list[i] = nil
	end
	return list
end

-- Each of these reads `input` and writes `out`, which may be the same table.
local transforms = {}

function transforms.map(out, input, fn, extra)
	for i, value in ipairs(input) do
		out[i] = fn(value, extra)
	end
	return out
end

function transforms.filter(out, input, wanted)
	local n, length = 0, #input
	for i = 1, length do
		local value = input[i]
		if wanted(value) then
			n = n + 1
			out[n] = value
		end
	end
	return truncate(out, n, out == input and length or n)
end

--- The part from i to j; negative positions count from the end, as in string.sub.
function transforms.slice(out, input, i, j)
	local length = #input
	i, j = i or 1, j or -1
	i = i < 0 and length + i + 1 or i
	j = j < 0 and length + j + 1 or j
	if i < 1 then i = 1 end
	if j > length then j = length end
	local n = j >= i and j - i + 1 or 0
	if n > 0 then
		t_move(input, i, j, 1, out)
	end
	return truncate(out, n, out == input and length or n)
end

function transforms.sort(out, input, before)
	if out ~= input then
		t_move(input, 1, #input, 1, out)
	end
	t_sort(out, before)
	return out
end

--- The first of each group of equal values stays.
function transforms.unique(out, input)
	local seen = {}
	return transforms.filter(out, input, function (value)
		if seen[value] then
			return false
		end
		seen[value] = true
		return true
	end)
end

--- Of each member the field `key`; `default` where it is nil.
function transforms.pluck(out, input, key, default)
	for i = 1, #input do
		local value = input[i][key]
		if value == nil then
			value = default
		end
		out[i] = value
	end
	return out
end

function transforms.reverse(out, input)
	local i, j = 1, #input
	if out ~= input then
		t_move(input, 1, j, 1, out)
	end
	while i < j do
		out[i], out[j] = out[j], out[i]
		i, j = i + 1, j - 1
	end
	return out
end

local array = { new = new, collect = collect }

for name, transform in pairs(transforms) do
	methods[name] = function (self, ...)
		return transform(self, self, ...)
	end
	array[name] = function (input, ...)
		return transform(new(), input, ...)
	end
end

--- Any member, nil when empty.
function methods:random()
	local length = #self
	return length > 0 and self[math_random(length)] or nil
end

--- Any member but the given one, where there is another.
function methods:random_other(value)
	local others = transforms.filter({}, self, function (other) return other ~= value end)
	if #others == 0 then
		return value
	end
	return others[math_random(#others)]
end

--- Brings the members into an order of chance, not one for secrets. Gives the list.
function methods:shuffle()
	for i = #self, 2, -1 do
		local j = math_random(i)
		self[i], self[j] = self[j], self[i]
	end
	return self
end

--- Adds all members of another list at the end.
function methods:append(other)
	t_move(other, 1, #other, #self + 1, self)
	return self
end

--- Adds a member at the end. Gives the list.
function methods:push(value)
	t_insert(self, value)
	return self
end

--- Removes and returns the member at position i, by default the last one.
function methods:pop(i)
	return t_remove(self, i)
end

--- The members as text, with the separator between them.
function methods:concat(separator)
	return t_concat(transforms.map({}, self, tostring), separator)
end

function methods:length()
	return #self
end

function methods:unpack()
	return t_unpack(self)
end

--- a + b: a new array with the members of both.
function array_mt.__add(a, b)
	return new():append(a):append(b)
end

--- list / f: a new array of what f makes of each member; nil is left out.
function array_mt.__div(list, fn)
	local out = new()
	for _, value in ipairs(list) do
		local mapped = fn(value)
		if mapped ~= nil then
			out[#out + 1] = mapped
		end
	end
	return out
end

function array_mt.__eq(a, b)
	if getmetatable(a) ~= array_mt or getmetatable(b) ~= array_mt or #a ~= #b then
		return false
	end
	for i = 1, #a do
		if a[i] ~= b[i] then
			return false
		end
	end
	return true
end

function array_mt:__tostring()
	return "{" .. self:concat(", ") .. "}"
end

--- How util.serialization sees an array.
function array_mt:__freeze()
	return self
end

return setmetatable(array, {
	__call = function (_, ...)
		return new(...)
	end,
})
