--- Table functions that depend on the version of Lua, and one that was written too often.
local pairs, table = pairs, table

--- A table with room for that many members and fields; the room is only a promise of speed, so Lua may ignore it.
local function create(_, _)
	return {}
end

--- A list of a table's keys, in order. They must be of a kind that can be compared.
local function sorted_keys(t)
	local keys = {}
	for key in pairs(t) do
		keys[#keys + 1] = key
	end
	table.sort(keys)
	return keys
end

return {
	create = table.create or create, -- luacheck: ignore 143/table
	pack = table.pack,
	move = table.move,
	sorted_keys = sorted_keys,
}
