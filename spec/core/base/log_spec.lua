local T = require "couplet_core".base

local DEBUG, INFO, WARN, ERROR = 0, 1, 2, 3
local ALL = 15

local function read(path)
	local file = assert(io.open(path))
	local text = file:read "a"
	file:close()
	return text
end

describe("the log", function()
	local ids, path
	local function keep(id)
		assert.is_truthy(id)
		ids[#ids + 1] = id
		return id
	end

	before_each(function()
		ids, path = {}, os.tmpname()
		T.log_captured()
	end)
	after_each(function()
		for _, id in ipairs(ids) do T.log_remove(id) end
		os.remove(path)
		os.remove(path .. ".1")
	end)

	it("gives each sink the levels it asked for", function()
		keep(T.log_capture(1 << WARN | 1 << ERROR))
		T.log_text(INFO, "c2s1", "quiet")
		T.log_write(WARN, "c2s1", "loud")
		T.log_write(ERROR, "s2s", "louder")
		assert.equal("2 c2s1 loud\n3 s2s louder\n", T.log_captured())
		assert.is_false(T.log_wants(DEBUG))
		assert.is_true(T.log_wants(WARN))
	end)

	it("wants nothing any more when its last sink is gone", function()
		local id = T.log_capture(ALL)
		assert.is_true(T.log_wants(DEBUG))
		T.log_remove(id)
		assert.is_false(T.log_wants(DEBUG))
		T.log_text(INFO, "x", "nobody hears")
		assert.equal("", T.log_captured())
	end)

	it("lets no control character and no broken UTF-8 through", function()
		keep(T.log_capture(ALL))
		T.log_text(INFO, "a\nb", "one\ntwo\r\27[31mred\0\x7f tab\tstays \xff\xc2\x9b \u{e9}\u{20ac} \xe2\x82")
		assert.equal("1 a\\nb one\\ntwo\\x0d\\x1b[31mred\\x00\\x7f tab\tstays \\xff\\xc2\\x9b \u{e9}\u{20ac} \\xe2\\x82\n",
			T.log_captured())
	end)

	it("cuts what is endless, on a character boundary", function()
		keep(T.log_capture(ALL))
		T.log_text(INFO, "x", ("\u{e9}"):rep(100000))
		local text = T.log_captured()
		assert.is_true(#text < 9000 and #text > 8000)
		assert.is_truthy(utf8.len(text))
		assert.equal("...\n", text:sub(-4))
		T.log_write(INFO, "x", ("\n"):rep(100000))
		assert.is_true(#T.log_captured() < 9000)
	end)

	it("does not tell a sink what the sink itself logs", function()
		keep(T.log_capture(1 << INFO, true))
		keep(T.log_capture(ALL))
		T.log_text(INFO, "x", "hello")
		assert.equal("1 x hello\n1 sink I was told of hello\n1 x hello\n", T.log_captured())
	end)

	it("appends to a file that only we and our group may read", function()
		os.remove(path)
		keep(T.log_to_file(ALL, path, false))
		T.log_text(INFO, "mod_ping", "one")
		T.log_text(ERROR, "mod_ping", "two")
		assert.equal("mod_ping\tinfo\tone\nmod_ping\terror\ttwo\n", read(path))
		local mode = io.popen("stat -c %a " .. path):read "l"
		assert.equal("0", mode:sub(-1))
		assert.equal("6", mode:sub(1, 1))
	end)

	it("writes the time when asked to", function()
		keep(T.log_to_file(ALL, path, true))
		T.log_text(WARN, "x", "text")
		assert.is_truthy(read(path):match "^%a%a%a %d%d %d%d:%d%d:%d%d x\twarn\ttext\n$")
	end)

	it("opens its files anew after they were rotated", function()
		keep(T.log_to_file(ALL, path, false))
		T.log_text(INFO, "x", "before")
		os.rename(path, path .. ".1")
		T.log_text(INFO, "x", "still there")
		T.log_reopen()
		T.log_text(INFO, "x", "after")
		assert.equal("x\tinfo\tbefore\nx\tinfo\tstill there\n", read(path .. ".1"))
		assert.equal("x\tinfo\tafter\n", read(path))
	end)

	it("says what to do about a file that cannot be opened", function()
		local id, why = T.log_to_file(ALL, "/nonexistent/couplet.log", false)
		assert.is_nil(id)
		assert.is_truthy(why:find("cannot write the log file /nonexistent/couplet.log: No such file or directory", 1, true))
	end)
end)
