--- Queries over an archive that is held as a list, for storage drivers without a query language of their own.
--
-- An item is a table with `key`, `when` (seconds) and `with`; what else it holds is the driver's. The order of the list
-- is the order of the archive. A query has the fields of the archive interface: start, end (both inclusive), with, key,
-- ids (a list of keys), before, after (keys, exclusive), limit, reverse, total, and for deletion truncate.
local datetime = require "prosody.util.datetime"
local ipairs, next, pairs, t_sort = ipairs, next, pairs, table.sort

local _ENV = nil

-- Where the item with that key is; keys are unique.
local function position(items, key)
	for i = #items, 1, -1 do
		if items[i].key == key then return i end
	end
end

local function to_set(list)
	local set = {}
	for _, member in ipairs(list) do set[member] = true end
	return set
end

-- What items match, before paging.
local function matcher(query)
	local start, stop, with, key = query["start"], query["end"], query["with"], query["key"]
	local ids = query["ids"] and to_set(query["ids"])
	return function (item)
		return (start == nil or item.when >= start) and (stop == nil or item.when <= stop)
			and (with == nil or item.with == with) and (key == nil or item.key == key)
			and (ids == nil or ids[item.key] == true)
	end
end

-- First and last position between the items that before and after name, or nil, "item-not-found".
local function range(items, query)
	local first, last = 1, #items
	if query["after"] ~= nil then
		local at = position(items, query["after"])
		if not at then return nil, "item-not-found" end
		first = at + 1
	end
	if query["before"] ~= nil then
		local at = position(items, query["before"])
		if not at then return nil, "item-not-found" end
		last = at - 1
	end
	return first, last
end

--- Positions of the items asked for, in the order asked for; how many match the filters when query.total is set.
-- nil, "item-not-found" when before or after name no item.
local function find(items, query)
	query = query or {}
	local first, last = range(items, query)
	if not first then return nil, last end
	local matches = matcher(query)

	local total
	if query["total"] then
		total = 0
		for _, item in ipairs(items) do
			if matches(item) then total = total + 1 end
		end
	end

	local step = 1
	if query["reverse"] then first, last, step = last, first, -1 end
	local found, limit = {}, query["limit"] or #items
	for i = first, last, step do
		if #found >= limit then break end
		if matches(items[i]) then found[#found + 1] = i end
	end
	return found, total
end

--- The items that stay when those of the query are deleted, and how many go. truncate = n spares the newest n.
local function remove(items, query)
	query = query or {}
	local first, last = range(items, query)
	if not first then return nil, last end
	local matches = matcher(query)
	if query["truncate"] and last > #items - query["truncate"] then
		last = #items - query["truncate"]
	end
	local kept = {}
	for i, item in ipairs(items) do
		if i < first or i > last or not matches(item) then kept[#kept + 1] = item end
	end
	return kept, #items - #kept
end

--- { counts =, earliest =, latest =, body = }, each by `with`. body_of(item) gives the text to show, or nil.
local function summary(items, query, body_of)
	local found, err = find(items, query)
	if not found then return nil, err end
	local counts, earliest, latest, body = {}, {}, {}, {}
	for _, i in ipairs(found) do
		local item = items[i]
		local with, when = item.with, item.when
		counts[with] = (counts[with] or 0) + 1
		if not earliest[with] or when < earliest[with] then earliest[with] = when end
		if not latest[with] or when >= latest[with] then
			latest[with] = when
			body[with] = body_of(item) or body[with]
		end
	end
	return { counts = counts, earliest = earliest, latest = latest, body = body }
end

--- The days (UTC, "2006-01-02") on which there are items, in order.
local function dates(items)
	local days, list = {}, {}
	for _, item in ipairs(items) do days[datetime.date(item.when)] = true end
	for day in pairs(days) do list[#list + 1] = day end
	t_sort(list)
	return list
end

--- The text a summary shows of a value.
local function body_of(value)
	return value.get_child_text and value:get_child_text("body")
end

--- An iterator over the keys of a table, for :users() and the like.
local function keys(t)
	local key
	return function ()
		key = next(t, key)
		return key
	end
end

--- What a driver is able to that answers all of these queries and keeps at most `quota` items for a user.
local function caps(quota)
	return {
		total = true,
		quota = quota,
		truncate = true,
		full_id_range = true,
		ids = true,
		wildcard_delete = true,
	}
end

return {
	caps = caps,
	position = position,
	find = find,
	remove = remove,
	summary = summary,
	dates = dates,
	body_of = body_of,
	keys = keys,
}
