--- The log of a database whose commits are synced later (store/sqlite_log.c), through util.sqlite3.

local found = pcall(require, "couplet.sqlite3")
if not found then
	describe("The log of an SQLite database", function () pending "is not built in" end)
	return
end

local T = require "couplet_core"
local fake = require "spec.support.fake_module"
local lfs = require "lfs"
local sqlite3 = require "prosody.util.sqlite3"

local FRAME = 24 + 4096

describe("The log of an SQLite database whose commits are synced later", function ()
	local directory, path, db

	local function open(synchronous)
		return assert(sqlite3.open(path, { synchronous = synchronous, sync_later = true }))
	end

	before_each(function ()
		directory = fake.directory()
		path = directory .. "/test.sqlite"
		db = open()
		assert(db:exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b)"))
		assert(db:commit_now())
	end)

	after_each(function ()
		db:close()
		fake.remove(directory)
	end)

	local function log_bytes() return lfs.attributes(path .. "-wal", "size") end

	local function write(bytes)
		assert(db:exec("INSERT INTO t (b) VALUES (?)", ("x"):rep(bytes)))
		assert(db:commit())
	end

	local function sync()
		T.net.run_disk_job(assert(db:seal()))
		assert.is_true(db:synced())
	end

	-- What somebody finds who comes after the server was killed now.
	local function count_after_crash()
		local copy = directory .. "/copy.sqlite"
		assert(os.execute(("cp '%s' '%s' && cp '%s-wal' '%s-wal'"):format(path, copy, path, copy)))
		local after <close> = assert(sqlite3.open(copy))
		assert.equal("ok", (after:row("PRAGMA integrity_check")))
		local n = after:row("SELECT COUNT(*) FROM t")
		after:close()
		os.execute(("rm -f '%s'*"):format(copy))
		return n
	end

	it("is sealed when something was committed, once", function ()
		assert.is_nil(db:seal())
		write(10)
		local job = assert(db:seal())
		assert.is_nil(db:seal())
		write(10)
		T.net.run_disk_job(job)
		assert.is_true(db:synced())
		sync()
		assert.is_nil(db:seal())
		assert.equal(2, count_after_crash())
	end)

	it("need not be synced where the admin wants no more than a sound database, or not even that", function ()
		for _, synchronous in ipairs { "normal", "off" } do
			db:close()
			db = open(synchronous)
			write(10)
			assert.is_nil(db:seal())
		end
	end)

	it("is copied into the database and cut when it is long and nobody writes", function ()
		assert.is_nil(db:begin_checkpoint())
		for _ = 1, 50 do write(100000) end
		sync()
		assert.is_true(log_bytes() > 1000 * FRAME)
		T.net.run_disk_job(assert(db:begin_checkpoint()))
		assert.is_true(db:end_checkpoint())
		assert.equal(0, log_bytes())
		assert.is_true(db:is_cut())
		sync()
		assert.is_false(db:is_cut())
		assert.is_nil(db:begin_checkpoint())
		write(10)
		sync()
		assert.is_true(log_bytes() < 20 * FRAME)
		assert.equal(51, count_after_crash())
	end)

	it("is neither cut nor begun anew while somebody writes, and nothing of it is lost", function ()
		for _ = 1, 50 do write(100000) end
		sync()
		local job, before = assert(db:begin_checkpoint()), log_bytes()
		assert.is_nil(db:begin_checkpoint())
		T.net.run_disk_job(job)
		write(10) -- all was copied by now: SQLite alone would start the log from its beginning
		assert.is_true(log_bytes() > before)
		assert.is_false(db:end_checkpoint())
		sync()
		assert.equal(51, count_after_crash())
		for _ = 1, 11 do write(100000) end
		sync()
		T.net.run_disk_job(assert(db:begin_checkpoint()))
		assert.is_true(db:end_checkpoint())
		sync()
		assert.equal(62, count_after_crash())
	end)

	it("does not grow for ever under those who never stop", function ()
		local largest = 0
		for _ = 1, 100 do
			write(1000000)
			local job = db:begin_checkpoint()
			if job then
				T.net.run_disk_job(job)
				write(10)
				db:end_checkpoint()
			end
			if log_bytes() > 0 then sync() else assert.is_nil(db:seal()) end -- cut with the commit, it is durable
			largest = math.max(largest, log_bytes())
		end
		assert.is_true(largest > 60 << 20 and largest < 72 << 20, tostring(largest))
		assert.is_true(log_bytes() < largest)
	end)

	it("that a crash has left comes into the database before anything is added", function ()
		write(10)
		sync()
		local copy = directory .. "/crashed.sqlite"
		assert(os.execute(("cp '%s' '%s' && cp '%s-wal' '%s-wal'"):format(path, copy, path, copy)))
		local again = assert(sqlite3.open(copy, { sync_later = true }))
		assert.equal(0, lfs.attributes(copy .. "-wal", "size"))
		assert.equal(1, (again:row("SELECT COUNT(*) FROM t")))
		again:close()
	end)

	it("is gone when the database is closed", function ()
		write(10)
		db:close()
		assert.is_nil(log_bytes())
		db = open()
		assert.equal(1, (db:row("SELECT COUNT(*) FROM t")))
	end)
end)
