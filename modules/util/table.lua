--- Table functions that depend on the version of Lua.
local table = table

--- A table with room for that many members and fields; the room is only a promise of speed, so Lua may ignore it.
local function create(_, _)
	return {}
end

return {
	create = table.create or create; -- luacheck: ignore 143/table
	pack = table.pack;
	move = table.move;
}
