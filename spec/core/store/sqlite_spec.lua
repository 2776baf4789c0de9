--- What store/sqlite promises, through util.sqlite3.

local found = pcall(require, "couplet.sqlite3")
if not found then
	describe("SQLite", function () pending "is not built in" end)
	return
end

local disk = require "spec.support.disk"
local fake = require "spec.support.fake_module"
local sqlite3 = require "prosody.util.sqlite3"

describe("an SQLite database", function ()
	local directory, path, db

	before_each(function ()
		directory = fake.directory()
		path = directory .. "/test.sqlite"
		db = assert(sqlite3.open(path, { synchronous = "off" }))
		assert(db:exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b)"))
		assert(db:commit())
	end)

	after_each(function ()
		db:close()
		fake.remove(directory)
	end)

	local function count(in_db)
		return (assert((in_db or db):row("SELECT COUNT(*) FROM t")))
	end

	it("keeps values as they are", function ()
		for _, value in ipairs {
			"", "text", "a\0b", "é", "'; DROP TABLE t; --", 0, -1, math.maxinteger, math.mininteger, 0.5, 1e300,
		} do
			assert.equal(1, db:exec("INSERT OR REPLACE INTO t VALUES (1, ?)", value))
			local got = db:row("SELECT b FROM t WHERE a = ?", 1)
			assert.equal(value, got)
			assert.equal(math.type(value), math.type(got))
		end
		assert(db:exec("INSERT OR REPLACE INTO t VALUES (1, ?)", nil))
		assert.same({ { 1, nil } }, db:query("SELECT a, b FROM t"))
	end)

	it("gives rows in order, the first row, or nothing", function ()
		for i = 1, 3 do assert(db:exec("INSERT INTO t VALUES (?, ?)", i, i * i)) end
		assert.equal(3, db:last_row())
		assert.same({ { 3, 9 }, { 2, 4 }, { 1, 1 } }, db:query("SELECT a, b FROM t ORDER BY a DESC"))
		assert.same({ 2, 4 }, { db:row("SELECT a, b FROM t WHERE a >= ? ORDER BY a", 2) })
		assert.equal(0, select("#", db:row("SELECT a FROM t WHERE a = ?", 4)))
		assert.same({}, db:query("SELECT a FROM t WHERE a = ?", 4))
		assert.equal(2, db:exec("DELETE FROM t WHERE a < ?", 3))
	end)

	it("names what is wrong", function ()
		for _, case in ipairs {
			{ "SELEKT", "syntax error" }, { "SELECT x FROM t", "no such column" }, { "", "exactly one" },
			{ "SELECT 1; SELECT 2", "exactly one" }, { "SELECT ?", "0 values for 1 parameters" },
			{ 'SELECT "misspelt" FROM t', "no such column" },
		} do
			for _, method in ipairs { "exec", "query", "row" } do
				local result, err = db[method](db, case[1])
				assert.is_nil(result)
				assert.is_truthy(err:find(case[2], 1, true))
			end
		end
		local result, err = db:exec("INSERT INTO t VALUES (?, ?)", 1, 2, 3)
		assert.is_nil(result)
		assert.matches("3 values for 2 parameters", err)
		assert.has_error(function () db:exec("SELECT ?", {}) end)
		assert.has_error(function () db:exec("SELECT ?", true) end)
		local none
		none, err = sqlite3.open(directory .. "/none/test.sqlite")
		assert.is_nil(none)
		assert.matches("cannot open database", err)
		assert.has_error(function () sqlite3.open("a\0b") end)
	end)

	it("refuses a file that is no database, and leaves it alone", function ()
		local file = io.open(directory .. "/other", "w")
		file:write(("this is not a database\n"):rep(1000))
		file:close()
		local none, err = sqlite3.open(directory .. "/other")
		assert.is_nil(none)
		assert.matches("not a database", err)
		assert.equal(("this is not a database\n"):rep(1000), io.open(directory .. "/other"):read("a"))
	end)

	it("is readable by nobody else", function ()
		db:exec("INSERT INTO t VALUES (1, 1)")
		db:commit()
		local pipe = io.popen(("find '%s' -type f -perm /o=rwx,g=wx"):format(directory))
		assert.equal("", pipe:read("a"))
		pipe:close()
	end)

	it("shows a turn's writes to itself at once, and to others after the commit", function ()
		local other = assert(sqlite3.open(path))
		assert.is_false(db:is_pending())
		assert(db:exec("INSERT INTO t VALUES (1, 1)"))
		assert(db:exec("INSERT INTO t VALUES (2, 2)"))
		assert.is_true(db:is_pending())
		assert.equal(2, count())
		assert.equal(0, count(other))
		assert.is_true(db:commit())
		assert.is_false(db:is_pending())
		assert.equal(2, count(other))
		assert.is_true(db:commit())
		other:close()
	end)

	it("keeps the turn when one statement of it fails", function ()
		assert(db:exec("INSERT INTO t VALUES (1, 1)"))
		local ok, err = db:exec("INSERT INTO t VALUES (1, 2)")
		assert.is_nil(ok)
		assert.matches("UNIQUE", err)
		assert(db:exec("INSERT INTO t VALUES (2, 2)"))
		assert.is_true(db:commit())
		assert.equal(2, count())
	end)

	it("undoes parts of a turn, also within parts", function ()
		assert(db:exec("INSERT INTO t VALUES (1, 1)"))
		assert.is_true(db:savepoint())
		assert(db:exec("INSERT INTO t VALUES (2, 2)"))
		assert.is_true(db:savepoint())
		assert(db:exec("INSERT INTO t VALUES (3, 3)"))
		assert.is_true(db:rollback())
		assert.equal(2, count())
		assert.is_true(db:release())
		assert.is_true(db:savepoint())
		assert(db:exec("DELETE FROM t"))
		assert.is_true(db:rollback())
		assert.is_true(db:commit())
		assert.same({ { 1 }, { 2 } }, db:query("SELECT a FROM t ORDER BY a"))
	end)

	it("refuses to end a part that was never begun, or that a commit has ended", function ()
		assert.same({ nil, "there is no savepoint" }, { db:release() })
		assert.is_true(db:savepoint())
		assert(db:exec("INSERT INTO t VALUES (1, 1)"))
		assert.is_true(db:commit())
		assert.same({ nil, "there is no savepoint" }, { db:rollback() })
		assert.equal(1, count())
	end)

	it("tells a writer when another process keeps it busy, and works again afterwards", function ()
		local other = assert(sqlite3.open(path, { busy_timeout_ms = 10 }))
		assert(db:exec("INSERT INTO t VALUES (1, 1)"))
		local ok, err = other:exec("INSERT INTO t VALUES (2, 2)")
		assert.is_nil(ok)
		assert.matches("locked", err)
		assert.is_true(other:commit())
		assert.is_true(db:commit())
		assert.equal(1, other:exec("INSERT INTO t VALUES (2, 2)"))
		assert.is_true(other:commit())
		assert.equal(2, count())
		other:close()
	end)

	it("loses what was not committed when it is dropped, and commits when it is closed", function ()
		local other = assert(sqlite3.open(path))
		assert(other:exec("INSERT INTO t VALUES (1, 1)"))
		other = nil -- luacheck: ignore 311
		collectgarbage()
		collectgarbage()
		assert.equal(0, count())
		other = assert(sqlite3.open(path))
		assert(other:exec("INSERT INTO t VALUES (1, 1)"))
		assert.is_true(other:close())
		assert.equal(1, count())
		assert.has_error(function () other:exec("SELECT 1") end, "database is closed")
	end)

	it("opens for reading only", function ()
		local other = assert(sqlite3.open(path, { read_only = true }))
		assert.equal(0, count(other))
		local ok, err = other:exec("INSERT INTO t VALUES (1, 1)")
		assert.is_nil(ok)
		assert.matches("readonly", err)
		other:close()
		assert.is_nil((sqlite3.open(directory .. "/absent", { read_only = true })))
		assert.is_nil(io.open(directory .. "/absent"))
	end)

	it("may be asked more different things than it remembers, and the same while it answers", function ()
		for i = 1, 500 do assert.equal(i, db:row("SELECT " .. i .. " + ?", 0)) end
		for i = 1, 500 do assert.equal(i, db:row("SELECT " .. i .. " + ?", 0)) end
	end)

	it("gives back the memory of queries that end in an error", function ()
		assert(db:exec("INSERT INTO t VALUES (1, ?)", ("x"):rep(100)))
		for _ = 1, 1000 do
			assert.is_false(pcall(db.query, db, "SELECT a FROM t", {}))
			assert.is_nil((db:query("SELECT abs(?)", math.mininteger)))
		end
		assert.is_true(db:commit())
	end)

	describe("on a full disk", function ()
		local small, why

		before_each(function ()
			small, why = disk.mount "1m"
		end)

		after_each(function ()
			if small then small:unmount() end
		end)

		it("reports the turn as lost, keeps what was committed, and recovers when there is room", function ()
			if not small then return pending(why) end
			local full = assert(sqlite3.open(small.folder .. "/test.sqlite"))
			assert(full:exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b)"))
			assert(full:exec("INSERT INTO t VALUES (0, ?)", "first"))
			assert.is_true(full:commit())
			local committed = 1
			for _ = 1, 3 do
				small:fills()
				local lost_turns = 0
				for _ = 1, 20 do
					for _ = 1, 5 do full:exec("INSERT INTO t (b) VALUES (?)", ("y"):rep(20000)) end
					local ok, err = full:commit()
					if ok then
						committed = committed + 5
					else
						assert.is_string(err)
						lost_turns = lost_turns + 1
					end
					assert.equal(committed, count(full))
				end
				assert.is_true(lost_turns > 0)
				small:empties()
				assert(full:exec("INSERT INTO t (b) VALUES (?)", "after"))
				assert.is_true(full:commit())
				committed = committed + 1
				assert.equal(committed, count(full))
				assert(full:exec("DELETE FROM t WHERE a > 0"))
				assert(full:commit())
				committed = 1
			end
			assert.equal("ok", full:row("PRAGMA integrity_check"))
			full:close()
		end)
	end)
end)
