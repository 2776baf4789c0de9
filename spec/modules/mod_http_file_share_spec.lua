-- What cannot be waited for (days, quotas), and what Prosody left behind. The web is in spec/e2e/file_share_spec.

local fake = require "spec.support.fake_native"
local files = require "util.files"
local st = require "util.stanza"

local NS, NS_PURPOSE = "urn:xmpp:http:upload:0", "urn:xmpp:http:upload:purpose:0"
local DAY = 86400

-- In the place of the real one, which needs the core.
local http_scheme = "https"
local http_module = [[
module:set_global()
local api = require "prosody.core.moduleapi"
function api:http_url(app, path) return "SCHEME://" .. self.host .. ":5281" .. path end
function module.add_host() end
]]

describe("mod_http_file_share", function ()
	local world, host, now
	local real_time = os.time

	local function start(options)
		options = options or {}
		world = fake.start {
			config = ([[
				storage = "internal"; authentication = "null"; modules_enabled = {}
				modules_disabled = { "presence", "message", "iq", "offline", "c2s", "s2s", "s2s_auth_certs" }
				VirtualHost "capulet.example"
				VirtualHost "montague.example"
				VirtualHost "example.test"
				modules_enabled = { "http_file_share" }
				Component "upload.capulet.example" "http_file_share"
				http_file_share_size_limit = 1000000
				%s]]):format(options.config or ""),
		}
		now = 1800000000
		os.time = function (t) -- luacheck: ignore 122
			return t and real_time(t) or math.floor(now + world.now)
		end
		local data = world.directory .. "/data"
		require "util.datamanager".set_data_path(data)
		if options.data then
			assert(os.execute(("cp -R '%s/.' '%s' && chmod -R u+w '%s'"):format(options.data, data, data)))
		end
		world.module("http", (http_module:gsub("SCHEME", http_scheme)))
		for _, name in ipairs { "storagemanager", "modulemanager", "usermanager" } do world.load(name) end
		world.load("hostmanager").activate_all()
		host = "upload.capulet.example"
		assert(world.load("modulemanager").is_loaded(host, "http_file_share"),
			world.log_has("error", "http_file_share") or "not loaded")
	end
	after_each(function ()
		os.time = real_time -- luacheck: ignore 122
		world.stop()
	end)

	-- Asks for a slot; gives the reply.
	local function ask(attr, options)
		options = options or {}
		local from = options.from or "romeo@capulet.example/r"
		local replies = {}
		local origin = { type = "component", send = function (reply)
			table.insert(replies, reply)
			return true
		end }
		attr = { xmlns = NS, filename = attr.filename or "a.txt", size = tostring(attr.size or 5),
			["content-type"] = attr.type }
		local stanza = st.iq({ type = "get", from = from, to = host, id = "x" }):tag("request", attr)
		if options.purpose then stanza:tag(options.purpose, { xmlns = NS_PURPOSE, ["expire-before"] = options.before }) end
		assert.is_true(world.prosody.hosts[host].events.fire_event(("iq-get/host/%s:request"):format(NS),
			{ origin = origin, stanza = stanza }))
		assert.equal(1, #replies)
		return replies[1]
	end

	local function uploads()
		return world.load("modulemanager").get_module(host, "http_file_share").module:open_store("uploads", "archive")
	end

	-- The slot that was given; its file is there when bytes are.
	local function slot(attr, options, bytes)
		local reply = ask(attr, options)
		assert.equal("result", reply.attr.type, tostring(reply))
		local id = reply.tags[1]:get_child("get").attr.url:match "/file_share/([^/]+)/[^/]+$"
		if bytes then
			local path = require "util.datamanager".getpath(id, host, "http_file_share", "bin", true)
			assert(files.write(path, bytes))
			return id, path
		end
		return id
	end

	local function records()
		local n = 0
		for _ in uploads():find(nil, {}) do n = n + 1 end
		return n
	end

	local function total()
		return world.load("modulemanager").get_module(host, "http_file_share").module:open_store("upload_stats", "map")
			:get(nil, "total")
	end

	-- The daily task, now.
	local function prune()
		for _, task in ipairs(world.load("modulemanager").get_items("task", host)) do task:run(os.time()) end
	end

	local function condition(reply)
		local _, name, text = reply:get_error()
		return name, text
	end

	it("gives a slot: an address, and a token that says what may be put there", function ()
		start { config = 'http_file_share_secret = "shared"' }
		local reply = ask { filename = "très cool.jpg", size = 23456, type = "image/jpeg; q=1" }
		local put = reply.tags[1]:get_child "put"
		assert.matches("^https://upload%.capulet%.example:5281/file_share/[%w_-]+/tr%%c3%%a8s%%20cool%.jpg$", put.attr.url)
		assert.equal(put.attr.url, reply.tags[1]:get_child("get").attr.url)
		local token = put:get_child_text("header"):match "^Bearer (.+)$"
		local ok, claims = require "util.jwt".verify("shared", token)
		assert.is_true(ok, claims)
		assert.equal("romeo@capulet.example", claims.sub)
		assert.equal("très cool.jpg", claims.filename)
		assert.equal(23456, claims.filesize)
		assert.equal("image/jpeg", claims.filetype)
		assert.equal(claims.slot, put.attr.url:match "/file_share/([^/]+)/")
		assert.equal(300, claims.exp - claims.iat)
		assert.equal(now + 7 * DAY, claims.expires)
	end)

	it("sends uploads elsewhere when told to", function ()
		start { config = 'http_file_share_base_url = "https://files.example/up/"; http_file_share_secret = "shared"' }
		assert.matches("^https://files%.example/up/[%w_-]+/a%.txt$", ask({}).tags[1]:get_child("put").attr.url)
		now = now + DAY
		prune()
		assert.equal(1, records()) -- whether it is there, we cannot know
		now = now + 7 * DAY
		prune()
		assert.equal(0, records())
	end)

	describe("is for", function ()
		local function may(from) return ask({}, { from = from }).attr.type == "result" end

		it("users of the host above the component", function ()
			start()
			assert.is_true(may "romeo@capulet.example/r")
			assert.is_false(may "romeo@montague.example/r")
			assert.is_false(may "romeo@elsewhere.example/r")
			assert.equal("forbidden", condition(ask({}, { from = "romeo@elsewhere.example/r" })))
		end)

		it("those named in http_file_share_access, and nobody else", function ()
			start { config = 'http_file_share_access = { "montague.example", "friend@elsewhere.example" }' }
			assert.is_true(may "romeo@montague.example/r")
			assert.is_true(may "friend@elsewhere.example/r")
			assert.is_false(may "other@elsewhere.example/r")
			assert.is_false(may "romeo@capulet.example/r")
		end)
	end)

	it("takes only the types that are allowed", function ()
		start { config = 'http_file_share_allowed_file_types = { "image/*", "text/plain" }' }
		for filetype, is_allowed in pairs { ["image/png"] = true, ["IMAGE/JPEG"] = true, ["text/plain; charset=utf-8"] = true,
			["text/html"] = false, ["image"] = false, ["imagex/png"] = false, [false] = false } do
			local reply = ask { type = filetype or nil }
			assert.equal(is_allowed and "result" or "error", reply.attr.type, tostring(filetype))
		end
		assert.equal("not-acceptable", condition(ask { type = "text/html" }))
	end)

	describe("has a quota", function ()
		it("for each user and day, and says when there will be room", function ()
			start { config = "http_file_share_daily_quota = 1000000" }
			slot { size = 600000 }
			now = now + 1000
			slot({ size = 400000 }, nil)
			now = now + 10
			local reply = ask { size = 300000 }
			local name = condition(reply)
			assert.equal("resource-constraint", name)
			local retry = reply:get_child("error"):get_child("retry", NS)
			assert.equal(require "util.datetime".datetime(1800000000 + DAY), retry.attr.stamp)
			slot({ size = 300000 }, { from = "juliet@capulet.example/r" }) -- hers is another
		end)

		it("that a restart does not forget", function ()
			start { config = "http_file_share_daily_quota = 1000000" }
			slot({ size = 900000 }, nil, "x")
			world.load("modulemanager").reload(host, "http_file_share")
			assert.equal("error", ask({ size = 200000 }).attr.type)
			now = now + DAY
			assert.equal("result", ask({ size = 200000 }).attr.type)
		end)

		it("that many tiny files use up, too", function ()
			start { config = "http_file_share_daily_quota = 40960" }
			for _ = 1, 10 do slot { size = 1 } end
			assert.equal("resource-constraint", condition(ask { size = 1 }))
		end)

		it("for all together", function ()
			start { config = "http_file_share_global_quota = 1500000" }
			slot({ size = 1000000 }, nil, "x")
			local name, text = condition(ask({ size = 600000 }, { from = "juliet@capulet.example/r" }))
			assert.equal("resource-constraint", name)
			assert.truthy(text:find "no more room")
			assert.truthy(world.log_has("warn", "http_file_share_global_quota"))
			now = now + 8 * DAY
			prune()
			assert.equal(0, total())
			assert.equal("result", ask({ size = 600000 }).attr.type)
		end)

		it("which counts no slot that was not used", function ()
			start { config = "http_file_share_daily_quota = 1000000" }
			local unused = slot { size = 900000 }
			assert.equal(900000, total())
			assert.equal("error", ask({ size = 200000 }).attr.type)
			world.advance(400)
			assert.is_nil((uploads():get(nil, unused)))
			assert.equal(0, total())
			assert.equal("result", ask({ size = 200000 }).attr.type)
		end)

		it("of slots that are not used yet", function ()
			start()
			for _ = 1, 50 do slot { size = 5 } end
			assert.equal("resource-constraint", condition(ask { size = 5 }))
			assert.equal("result", ask({ size = 5 }, { from = "juliet@capulet.example/r" }).attr.type)
			world.advance(400)
			assert.equal("result", ask({ size = 5 }).attr.type)
		end)

		it("of files, and tells the admin which option it is", function ()
			start { config = "storage_archive_item_limit = 3" }
			for _ = 1, 3 do slot({}, nil, "x") end
			assert.equal("internal-server-error", condition(ask {}))
			assert.truthy(world.log_has("error", "storage_archive_item_limit"))
		end)
	end)

	describe("removes", function ()
		it("files when they expire", function ()
			start { config = 'http_file_share_expires_after = "2 days"' }
			local _, old = slot({}, nil, "old")
			now = now + DAY
			local _, new = slot({}, nil, "new")
			prune()
			assert.equal(3, files.size(old))
			now = now + DAY
			prune()
			assert.is_nil(files.size(old))
			assert.equal(3, files.size(new))
			assert.equal(1, records())
			assert.equal(5, total())
		end)

		it("none when they never do", function ()
			start { config = 'http_file_share_expires_after = "never"' }
			local _, path = slot({}, nil, "x")
			now = now + 10000 * DAY
			prune()
			assert.equal(1, files.size(path))
		end)

		it("what is ephemeral before its time is over, what is for a purpose when that says so", function ()
			start { config = 'http_file_share_purposes = { profile = "1 year", permanent = "never" }' }
			local before = require "util.datetime".datetime(now + 3600)
			local _, ephemeral = slot({}, { purpose = "ephemeral", before = before }, "x")
			local _, profile = slot({}, { purpose = "profile" }, "x")
			local _, permanent = slot({}, { purpose = "permanent" }, "x")
			now = now + 3601
			prune()
			assert.is_nil(files.size(ephemeral))
			now = now + 30 * DAY
			prune()
			assert.equal(1, files.size(profile))
			now = now + 365 * DAY
			prune()
			assert.is_nil(files.size(profile))
			assert.equal(1, files.size(permanent))
		end)

		it("what a crash left of uploads, but none that still comes", function ()
			start()
			local id, path = slot({}, nil, "x")
			local left = path:match "^.*/" .. "left.bin.part"
			assert(files.write(left, "half"))
			local coming = slot {}
			local part = path:match "^.*/" .. files.encode(coming) .. ".bin.part"
			assert(files.write(part, "half"))
			assert(os.execute(("touch -d '2 hours ago' '%s'"):format(left)))
			world.advance(400) -- longer than a slot is good for
			now = real_time() + 10 -- files have the real time
			prune()
			assert.is_nil(files.size(left))
			assert.equal(4, files.size(part))
			assert.truthy(uploads():get(nil, coming))
			assert.truthy(uploads():get(nil, id))
		end)

		it("the files of an account that is deleted", function ()
			start()
			local _, mine = slot({}, nil, "x")
			local _, hers = slot({}, { from = "juliet@capulet.example/r" }, "x")
			world.prosody.events.fire_event("user-deleted", { username = "romeo", host = "capulet.example" })
			assert.is_nil(files.size(mine))
			assert.equal(1, files.size(hers))
		end)
	end)

	it("knows what Prosody has stored, and its quota", function ()
		start { data = "spec/fixtures/prosody/012-files" }
		host = "example.test"
		local request, when, with = uploads():get(nil, "wOoLJMQDnBkrkUrt47fW1STF")
		assert.equal("a b.txt", request.attr.filename)
		assert.equal("alice@example.test", with)
		now = when + 10
		slot({ size = 7 }, { from = "alice@example.test/r" })
		assert.equal(5 + 5 + 7, total()) -- that of 0.12 was counted
		local path = require "util.datamanager".getpath("wOoLJMQDnBkrkUrt47fW1STF", host, "http_file_share", "bin")
		assert.equal(5, files.size(path))
		now = when + 8 * DAY
		prune()
		assert.is_nil(files.size(path))
		assert.equal(0, records())
	end)

	it("goes on with the total that Prosody 13 has stored", function ()
		start { data = "spec/fixtures/prosody/13-files" }
		host = "example.test"
		assert.equal(5, total())
		now = select(2, uploads():get(nil, "06b0331c-2946-7330-990c-6230ee59abde")) + 10
		slot({ size = 7 }, { from = "alice@example.test/r" })
		assert.equal(12, total())
	end)

	it("warns when there is no TLS", function ()
		start()
		ask {}
		assert.falsy(world.log_has("warn", "without TLS"))
		world.stop()
		http_scheme = "http"
		start()
		http_scheme = "https"
		ask {}
		assert.truthy(world.log_has("warn", "without TLS"))
	end)

	it("says what is wrong with its options", function ()
		start { config = 'http_file_share_purposes = { profile = "some time", holiday = "1 week" }' }
		assert.truthy(world.log_has("error", "some time is no period"))
		assert.truthy(world.log_has("error", "no purpose holiday"))
		assert.equal("feature-not-implemented", condition(ask({}, { purpose = "profile" })))
		world.stop()
		start { config = 'http_file_share_base_url = "https://files.example/"' }
		assert.truthy(world.log_has("error", "needs http_file_share_secret"))
	end)
end)
