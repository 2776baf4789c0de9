--- When what was written to a database becomes durable, and who waits for it (see core.storagemanager).
-- Gives new(db, path, forget): the participant of a database, { wrote =, knows =, commit =, end_turn =, seal =,
-- synced = }; forget() is called when anything that was written may be lost.

local storagemanager = require "prosody.core.storagemanager"

-- Whose data a batch has: a set of keys, so that who reads something else does not wait for it.
local function key_of(host, store, user) return host .. "\0" .. (store or "\1") .. "\0" .. (user or "\1") end

local function add_writer(batch, host, store, user)
	batch.n = batch.n + 1
	batch[batch.n] = { host = host, user = user ~= "" and user or nil, store = store }
	batch.keys[key_of(host, store, user)] = true
	if store then batch.keys[key_of(host, store) .. "\0"] = true end -- somebody's in that store
end

-- Has it something that who reads this would see? user nil: everybody's; store nil: all stores.
local function has(batch, host, store, user)
	if batch.n == 0 then return false end
	local keys = batch.keys
	return not store or keys[key_of(host, store, user)] or keys[key_of(host, nil, user)] or keys[key_of(host, store)]
		or keys[key_of(host)] or not user and keys[key_of(host, store) .. "\0"] or not user and keys.everything
end

local function new_batch(number) return { n = 0, keys = {}, number = number } end

local function new(db, path, forget)
	local gathering, syncing, failure = new_batch(), new_batch(), nil
	local batches = {}

	-- What failed, and whose writes are lost with it.
	local function lost(err, is_synced_lost)
		local writers = table.move(gathering, 1, gathering.n, 1, {})
		if is_synced_lost then
			table.move(syncing, 1, syncing.n, #writers + 1, writers)
			syncing = new_batch()
		end
		gathering, failure = new_batch(), nil
		forget()
		return nil, ("database %s: %s"):format(path, err), writers
	end

	--- Somebody has written there.
	function batches.wrote(host, store, user)
		gathering.number = storagemanager.hold()
		add_writer(gathering, host, store, user)
		if not store then gathering.keys.everything = true end
	end

	--- Somebody has read there: what they say waits until it is durable.
	function batches.knows(host, store, user)
		if gathering.n > 0 and has(gathering, host, store, user) then
			storagemanager.hold_for(gathering.number)
		elseif syncing.n > 0 and has(syncing, host, store, user) then
			storagemanager.hold_for(syncing.number)
		end
	end

	function batches.commit()
		local ok, err = db:commit_now()
		if not ok or failure then return lost(err or failure) end
		if gathering.n > 0 then gathering = new_batch() end
		return true
	end

	-- A long log is copied into the database on a thread, and then cut.
	local function on_cut_synced()
		local ok, err = db:synced()
		if not ok then failure = err end
	end

	local function on_checkpoint()
		if db:end_checkpoint() then storagemanager.in_background(db:seal(), on_cut_synced) end
	end

	function batches.end_turn()
		if failure then return lost(failure) end
		if db:is_cut() then return db:is_pending() and "later" or true end
		if not db:is_pending() then return true end
		local ok, err = db:commit()
		if not ok then return lost(err) end
		local job = db:begin_checkpoint()
		if job then storagemanager.in_background(job, on_checkpoint) end
		return true
	end

	function batches.seal()
		if gathering.n == 0 then return nil end
		local job = db:seal()
		if job then syncing = gathering end
		gathering = new_batch()
		return job
	end

	function batches.synced()
		local ok, err = db:synced()
		if not ok then return lost(err, true) end
		syncing = new_batch()
		return true
	end

	return batches
end

return { new = new }
