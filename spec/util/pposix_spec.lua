require "couplet_core"
local pposix = require "util.pposix"

local build = os.getenv "COUPLET_BUILD" or "build/test"

-- Runs a script in a Lua of its own, which has pposix; gives what it printed. before: a shell command to run first.
local function run(script, before)
	local path = os.tmpname()
	local file = assert(io.open(path, "w"))
	file:write(("package.cpath = %q .. package.cpath\nrequire 'couplet_core'\nlocal pposix = require 'util.pposix'\n")
		:format(build .. "/?.so;"), script)
	file:close()
	local pipe = io.popen((before or "") .. "timeout 20 lua5.4 " .. path .. " 2>&1 </dev/null")
	local output = pipe:read "a"
	pipe:close()
	os.remove(path)
	return output
end

local function output_of(command)
	local pipe = io.popen(command)
	local output = pipe:read "a"
	pipe:close()
	return output
end

local function with_file(fn)
	local path = os.tmpname()
	local file = assert(io.open(path, "w+b"))
	fn(file, path)
	file:close()
	os.remove(path)
end

local is_root = pposix.getuid() == 0

describe("util.pposix", function()
	it("knows who we are", function()
		assert.equal(output_of "id -u", pposix.getuid() .. "\n")
		assert.equal(output_of "id -g", pposix.getgid() .. "\n")
		assert.is_true(pposix.getpid() > 1)
		assert.equal(2, pposix.ENOENT)
		local uname = pposix.uname()
		assert.equal(output_of "uname -s", uname.sysname .. "\n")
		assert.equal(output_of "uname -m", uname.machine .. "\n")
		for _, name in ipairs { "nodename", "release", "version", "domainname" } do assert.is_string(uname[name]) end
	end)

	it("counts memory in bytes", function()
		local info = pposix.meminfo()
		for _, name in ipairs { "allocated", "allocated_mmap", "used", "unused", "returnable" } do
			assert.equal("integer", math.type(info[name]))
			assert.is_true(info[name] >= 0)
		end
	end)

	it("gives the former umask, and puts it back", function()
		local former = pposix.umask "077"
		assert.matches("^[0-7][0-7][0-7]$", former)
		assert.equal("077", pposix.umask(former))
		for _, bad in ipairs { "", "8", "x", "-1", "7777", "077x" } do assert.has_error(function() pposix.umask(bad) end) end
	end)

	it("reads and sets limits", function()
		local ok, soft, hard = pposix.getrlimit "NOFILE"
		assert.is_true(ok)
		assert.is_true(soft == "unlimited" or soft > 0)
		assert.is_not_nil(hard)
		assert.equal("true\t64\t128\ntrue\t32\t128\nfalse\tinvalid-resource\n", run [[
			assert(pposix.setrlimit("NOFILE", 64, 128))
			print(pposix.getrlimit "NOFILE")
			assert(pposix.setrlimit("NOFILE", 32))
			print(pposix.getrlimit "NOFILE")
			print(pposix.setrlimit("BOGUS", 1))
		]])
		assert.same({ false, "invalid-resource" }, { pposix.getrlimit "BOGUS" })
	end)

	it("makes directories", function()
		local path = os.tmpname()
		os.remove(path)
		assert.is_true(pposix.mkdir(path))
		assert.same({ false, "File exists" }, { pposix.mkdir(path) })
		assert.same({ false, "No such file or directory" }, { pposix.mkdir(path .. "/x/y") })
		os.remove(path)
	end)

	it("appends all or nothing", function()
		with_file(function(file, path)
			file:write "one\n"
			assert.is_true(pposix.atomic_append(file, "two\n"))
			assert.is_true(pposix.atomic_append(file, ""))
			assert.is_true(pposix.atomic_append(file, "three\0\n"))
			assert.equal("one\ntwo\nthree\0\n", io.open(path, "rb"):read "a")
		end)
		if io.open("/dev/full") then
			local full = io.open("/dev/full", "w")
			local ok, why, code = pposix.atomic_append(full, "x")
			assert.is_false(ok)
			assert.is_string(why)
			assert.equal("integer", math.type(code))
		end
	end)

	it("leaves the file as it was when not all could be written", function()
		-- A limit on the file's size stops the write in the middle.
		assert.equal("false\tFile too large\t4096\n", run([[
			local path = os.tmpname()
			local file = io.open(path, "w")
			file:write(("a"):rep(4096))
			file:flush()
			pposix.setrlimit("FSIZE", 5000)
			local ok, why = pposix.atomic_append(file, ("b"):rep(10000))
			print(ok, why, io.open(path):seek("end"))
			os.remove(path)
		]], "trap '' XFSZ; "))
	end)

	it("refuses closed files", function()
		local file = io.open "/dev/null"
		file:close()
		assert.has_error(function() pposix.atomic_append(file, "x") end)
		assert.has_error(function() pposix.isatty(file) end)
	end)

	it("tells a terminal from a file", function()
		with_file(function(file) assert.is_false(pposix.isatty(file)) end)
	end)

	it("locks a file against other processes", function()
		with_file(function(file, path)
			assert.is_true(pposix.lock(file))
			assert.matches("^false", run(("print(pposix.lock(io.open(%q, 'r+')))"):format(path)))
		end)
	end)

	it("sets and removes variables of the environment", function()
		assert.is_true(pposix.setenv("COUPLET_SPEC", "x y"))
		assert.equal("x y", os.getenv "COUPLET_SPEC")
		assert.is_true(pposix.setenv "COUPLET_SPEC")
		assert.is_nil(os.getenv "COUPLET_SPEC")
		assert.is_false((pposix.setenv("A=B", "x")))
	end)

	it("asks whether a process is there", function()
		assert.is_true(pposix.kill(pposix.getpid(), 0))
		for _, bad in ipairs { { 0, 0 }, { -1, 0 }, { 1.5, 0 }, { 1, -1 }, { 1, 1000 } } do
			assert.has_error(function() pposix.kill(bad[1], bad[2]) end)
		end
	end)

	it("forks", function()
		local output = run [[
			io.stdout:setvbuf "no"
			local pid = pposix.fork()
			if pid == 0 then print "child" os.exit(0, false) end
			assert(pid > 0)
		]]
		assert.equal("child\n", output)
	end)

	it("becomes a daemon: another process, its own session, no terminal, nothing on the standard streams", function()
		local fifo, script = os.tmpname(), os.tmpname()
		os.remove(fifo)
		assert(os.execute("mkfifo " .. fifo))
		local file = assert(io.open(script, "w"))
		file:write(("package.cpath = %q .. package.cpath\n"):format(build .. "/?.so;"), ([[
			require "couplet_core"
			local pposix = require "util.pposix"
			local first = pposix.getpid()
			assert(pposix.daemonize())
			print "nobody reads this"
			local stat = io.open "/proc/self/stat":read "a"
			local _, group, session, tty = stat:match ".*%%) %%u (%%d+) (%%d+) (%%d+) (%%-?%%d+)"
			local links = {}
			for fd = 0, 2 do links[#links + 1] = io.popen("readlink /proc/" .. pposix.getpid() .. "/fd/" .. fd):read "l" end
			local out = io.open(%q, "w")
			out:write(tostring(pposix.getpid() ~= first), " ", tostring(session == group), " ",
				tostring(tonumber(session) ~= pposix.getpid()), " ", tty, " ", table.concat(links, " "), "\n")
			out:close()
		]]):format(fifo))
		file:close()
		local direct = output_of("timeout 20 lua5.4 " .. script .. " 2>&1 </dev/null; echo $?")
		assert.equal("0\n", direct)
		assert.equal("true true true 0 /dev/null /dev/null /dev/null\n", output_of("timeout 20 cat " .. fifo))
		os.remove(fifo)
		os.remove(script)
	end)

	it("says who is unknown", function()
		assert.same({ false, "no-such-user" }, { pposix.setuid "no such user" })
		assert.same({ false, "no-such-group" }, { pposix.setgid "no such group" })
		assert.same({ nil, "no-such-user" }, { pposix.initgroups "no such user" })
		assert.same({ nil, "invalid-username" }, { pposix.initgroups() })
		for _, bad in ipairs { -1, 1.5, 1 << 32 } do
			assert.has_error(function() pposix.setuid(bad) end)
			assert.has_error(function() pposix.setgid(bad) end)
		end
	end)

	it("gives up root for good", function()
		if not is_root then pending "needs root" end
		assert.equal("true\ntrue\ntrue\n65534\nfalse\n", run [[
			print(pposix.initgroups("nobody", "nogroup"))
			print(pposix.setgid "nogroup")
			print(pposix.setuid "nobody")
			print(pposix.getuid())
			print((pposix.setuid(0)))
		]])
	end)

	it("keeps of root's privileges that for ports below 1024, where that is wanted", function()
		if not is_root then pending "needs root" end
		local pipe <close> = assert(io.popen("grep CapBnd /proc/self/status"))
		local bounding = tonumber(pipe:read "a":match "%x+%s*$", 16)
		if bounding & 1 << 10 == 0 then pending "needs CAP_NET_BIND_SERVICE" end
		assert.equal("true\n65534\nfalse\n0000000000000400\n0000000000000400\n", run [[
			print(pposix.setuid("nobody", true))
			print(pposix.getuid())
			print((pposix.setuid(0)))
			local file = io.open "/proc/self/status"
			local status = file:read "a"
			print(status:match "CapPrm:%s*(%x+)")
			print(status:match "CapEff:%s*(%x+)")
		]])
	end)

	it("talks to syslog", function()
		pposix.syslog_open("couplet-spec", "daemon")
		pposix.syslog_setminlevel "error"
		pposix.syslog_log("debug", "not seen")
		pposix.syslog_log("debug", "source", "not seen %s %n")
		assert.has_error(function() pposix.syslog_log("loud", "x") end)
		pposix.syslog_close()
	end)
end)
