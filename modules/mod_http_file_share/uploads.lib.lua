--- What is stored of uploads: a record per slot in the archive "uploads", made when the slot is given out, and the file
-- itself once it has come. Quotas count slots, used or not; one that was not used in time is forgotten.
--
-- A record: { slot =, filename =, size =, type = (nil: unknown), uploader =, when =, expires = (time, maybe huge) }.
-- Always true: the file of a record is removed before the record, so no file stays without one.

local async = require "prosody.util.async"
local cache = require "prosody.util.cache"
local datamanager = require "prosody.util.datamanager"
local datetime = require "prosody.util.datetime"
local files = require "prosody.util.files"
local new_slot = require "prosody.util.id".medium
local st = require "prosody.util.stanza"
local wire = require "net.http.wire"

local NS, NS_PURPOSE = "urn:xmpp:http:upload:0", "urn:xmpp:http:upload:purpose:0"
local DAY_SECONDS = 86400
local PENDING_MAX = 50           -- slots of one user that are not used yet
local SWEEP_SECONDS = 60         -- between looks for slots that were not used
local LEFTOVER_SECONDS = 3600    -- a part of a file nobody has written to for so long is left over from a crash
local BLOCK_BYTES = 4096         -- what the smallest file takes of a disk, and of the daily quota
local REMOVE_BATCH = 50

local host = module.host

-- options: daily_quota, global_quota (bytes), retention (purpose -> seconds), slot_seconds, is_elsewhere (the files are
-- not ours).
return function (options)
	local M = {}
	local archive = module:open_store("uploads", "archive")
	local stats = module:open_store("upload_stats", "map")
	local records = cache.new(512) -- slot -> record
	local recent = cache.new(512)  -- uploader -> list of { slot =, when =, bytes = } of the last day, oldest first
	local pending = {}             -- slot -> { uploader =, when = }, until its file is there
	local sweeper, total
	local measure_total = module:measure("total_storage", "amount", { unit = "bytes" })

	-- Records

	local function purpose_of(request)
		for _, tag in ipairs(request.tags) do
			if tag.attr.xmlns == NS_PURPOSE then return tag.name, tag end
		end
		return "message"
	end

	local function to_record(slot, request, when, uploader)
		local attr = request.attr
		local purpose, tag = purpose_of(request)
		local expires = when + (options.retention[purpose] or options.retention.message)
		local before = tag and datetime.parse(tag.attr["expire-before"] or "")
		return {
			slot = slot, filename = attr.filename, size = math.tointeger(tonumber(attr.size)) or 0,
			type = attr["content-type"], uploader = uploader, when = when,
			expires = before and math.min(before, expires) or expires,
		}
	end

	--- The record of a slot; nil when there is none.
	function M.get(slot)
		local record = records:get(slot)
		if record then return record end
		local request, when, with = archive:get(nil, slot)
		if not request then
			if when and when ~= "item-not-found" then module:log("error", "Slot %s cannot be read: %s", slot, when) end
			return nil
		end
		record = to_record(slot, request, when, with)
		records:set(slot, record)
		return record
	end

	--- Records, oldest first, of an uploader or all; an iterator, or nil and an error.
	function M.each(uploader)
		local iterator, err = archive:find(nil, { with = uploader })
		if not iterator then return nil, err end
		return function ()
			local slot, request, when, with = iterator()
			return slot and to_record(slot, request, when, with)
		end
	end

	--- When the file of a slot expires; nil: never.
	function M.expiry(slot)
		local expires = M.get(slot).expires
		return expires < math.huge and expires // 1 | 0 or nil
	end

	--- Directory and name of a slot's file; with `create` the directory is made. nil and an error when it cannot be.
	function M.path(slot, create)
		local path, err = datamanager.getpath(slot, host, module.name, "bin", create)
		if not path then return nil, err end
		return path:match "^(.*)/([^/]+)$"
	end

	local function full_path(slot)
		return (datamanager.getpath(slot, host, module.name, "bin"))
	end

	-- Has its file come, or is it coming?
	local function is_used(slot)
		local path = full_path(slot)
		return files.size(path) ~= nil or files.size(path .. ".part") ~= nil
	end

	-- Quotas

	local function set_total(bytes)
		total = math.max(bytes, 0)
		measure_total(total)
		local ok, err = stats:set(nil, "total", total)
		if not ok then module:log("error", "The total of all uploads cannot be stored: %s", err) end
	end

	--- Bytes of all files together.
	function M.total()
		total = total or stats:get(nil, "total")
		if not total then
			total = 0
			for record in M.each() or function () end do total = total + record.size end
		end
		return total
	end

	local function recent_of(uploader, now)
		local list = recent:get(uploader)
		if not list then
			list = {}
			local iterator, err = archive:find(nil, { with = uploader, start = now - DAY_SECONDS })
			if not iterator then return nil, err end
			for slot, request, when in iterator do
				local bytes = math.max(tonumber(request.attr.size) or 0, BLOCK_BYTES)
				table.insert(list, { slot = slot, when = when, bytes = bytes })
			end
		end
		while list[1] and list[1].when <= now - DAY_SECONDS do table.remove(list, 1) end
		recent:set(uploader, list)
		return list
	end

	-- True, or nil and when there will be room; without a time there never will be.
	local function has_daily_room(list, bytes, now)
		local used = 0
		for _, one in ipairs(list) do used = used + one.bytes end
		if used + bytes <= options.daily_quota then return true end
		for _, one in ipairs(list) do
			used = used - one.bytes
			if used + bytes <= options.daily_quota then return nil, math.max(one.when + DAY_SECONDS, now) end
		end
		return nil
	end

	-- Slots

	local function forget_recent(uploader, slot)
		local list = recent:get(uploader) or {}
		for i, one in ipairs(list) do
			if one.slot == slot then
				table.remove(list, i)
				return
			end
		end
	end

	local function sweep()
		local now = os.time()
		local unused = {}
		for slot, one in pairs(pending) do
			if one.when + options.slot_seconds < now and not is_used(slot) then
				pending[slot] = nil
				table.insert(unused, slot)
				forget_recent(one.uploader, slot)
			end
		end
		if unused[1] then
			module:log("debug", "%d slots were not used", #unused)
			M.remove(unused)
		end
		if next(pending) then return SWEEP_SECONDS end
		sweeper = nil
	end

	local function add_pending(slot, uploader, when)
		if options.is_elsewhere then return end
		pending[slot] = { uploader = uploader, when = when }
		sweeper = sweeper or module:add_timer(SWEEP_SECONDS, sweep)
	end

	local function n_pending(uploader)
		local n = 0
		for _, one in pairs(pending) do
			if one.uploader == uploader then n = n + 1 end
		end
		return n
	end

	--- Makes a slot for a file { filename =, size =, type =, purpose_tag = }. Gives it; or nil, "daily-quota" |
	-- "global-quota" | "too-many-slots" | "failed", and when to try again, if that is known.
	function M.reserve(uploader, wanted)
		local now = os.time()
		if n_pending(uploader) >= PENDING_MAX then return nil, "too-many-slots", now + options.slot_seconds end
		local list, err = recent_of(uploader, now)
		if not list then
			module:log("error", "The uploads of %s cannot be read: %s", uploader, err)
			return nil, "failed"
		end
		local bytes = math.max(wanted.size, BLOCK_BYTES)
		local has_room, retry_at = has_daily_room(list, bytes, now)
		if not has_room then
			return nil, "daily-quota", retry_at
		elseif M.total() + wanted.size > options.global_quota then
			module:log("warn", "%s gets no slot: http_file_share_global_quota is used up", uploader)
			return nil, "global-quota"
		end
		local request = st.stanza("request", {
			xmlns = NS, filename = wanted.filename, size = ("%d"):format(wanted.size), ["content-type"] = wanted.type,
		})
		if wanted.purpose_tag then request:add_child(st.clone(wanted.purpose_tag)) end
		local slot
		slot, err = archive:append(nil, new_slot(), request, now, uploader)
		if not slot then
			module:log("error", "A slot for %s cannot be stored: %s", uploader, err == "quota-limit"
				and "there are too many; set storage_archive_item_limit, or a shorter http_file_share_expires_after" or err)
			return nil, "failed"
		end
		table.insert(list, { slot = slot, when = now, bytes = bytes })
		set_total(M.total() + wanted.size)
		add_pending(slot, uploader, now)
		return slot
	end

	--- The file has come.
	function M.completed(slot)
		pending[slot] = nil
	end

	-- The end of files

	--- Removes slots with their files. How many, and how many bytes.
	function M.remove(slots)
		local removed, bytes = {}, 0
		for _, slot in ipairs(slots) do
			local record = M.get(slot)
			local ok, err = true, nil
			if not options.is_elsewhere then ok, err = files.remove(full_path(slot)) end
			if ok == nil then
				module:log("error", "The file of slot %s cannot be removed: %s", slot, err)
			elseif record then
				table.insert(removed, slot)
				bytes = bytes + record.size
			end
			records:set(slot, nil)
		end
		if removed[1] then
			local ok, err = archive:delete(nil, { ids = removed })
			if not ok then
				module:log("error", "Slots whose files are gone cannot be removed: %s", err)
				return 0, 0
			end
			set_total(M.total() - bytes)
		end
		return #removed, bytes
	end

	-- In batches, between which others have their turn.
	local function remove_all(slots)
		local n, bytes = 0, 0
		for at = 1, #slots, REMOVE_BATCH do
			local batch_n, batch_bytes = M.remove(table.move(slots, at, math.min(at + REMOVE_BATCH - 1, #slots), 1, {}))
			n, bytes = n + batch_n, bytes + batch_bytes
			if async.ready() then async.sleep(0) end
		end
		return n, bytes
	end

	--- Removes all files of an uploader. How many, and how many bytes; or nil and an error.
	function M.purge(uploader)
		local slots = {}
		local iterator, err = M.each(uploader)
		if not iterator then return nil, err end
		for record in iterator do table.insert(slots, record.slot) end
		return remove_all(slots)
	end

	local function remove_leftovers(now)
		local directory = M.path("x")
		for _, name in ipairs(files.list(directory) or {}) do
			local file, facts = nil, nil
			if name:find "%.part$" then file, facts = wire.open(directory, name) end
			if file then
				file:close()
				if facts.mtime < now - LEFTOVER_SECONDS then files.remove(directory .. "/" .. name) end
			end
		end
	end

	--- Removes what has expired, and records of slots that were never used. How many, and how many bytes.
	function M.prune(now)
		if not options.is_elsewhere then remove_leftovers(now) end
		local gone, bytes = {}, 0
		local iterator, err = M.each()
		if not iterator then
			module:log("error", "The uploads cannot be read, so none expires: %s", err)
			return 0, 0
		end
		for record in iterator do
			local slot = record.slot
			bytes = bytes + record.size
			local is_unused = not options.is_elsewhere and not pending[slot]
				and record.when + options.slot_seconds < now and not is_used(slot)
			if record.expires <= now or is_unused then table.insert(gone, slot) end
		end
		if bytes ~= M.total() then set_total(bytes) end
		local n
		n, bytes = remove_all(gone)
		module:log(n > 0 and "info" or "debug", "%d files have expired (%d bytes)", n, bytes)
		return n, bytes
	end

	-- A reload

	function M.save() return pending end

	function M.restore(saved)
		for slot, one in pairs(saved or {}) do
			add_pending(slot, one.uploader, one.when)
		end
	end

	return M
end
