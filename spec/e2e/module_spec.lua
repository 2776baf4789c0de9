-- Modules of the admin's own: written while the server runs, loaded, changed, reloaded and unloaded with clients
-- connected.

local Server = require "spec.support.server"

describe("A module of twenty lines", function ()
	local server, romeo, juliet

	local code = [[
--- Says everything aloud, and tells how much was said.
local st = require "util.stanza";

local said = 0;

local function shout(event)
	local body = event.stanza:get_child_text("body");
	if not body then return; end
	said = said + 1;
	event.stanza:remove_children("body");
	event.stanza:text_tag("body", body:upper());
end

module:hook("pre-message/bare", shout);
module:hook("iq-get/host/urn:example:shout:count", function (event)
	event.origin.send(st.reply(event.stanza):text_tag("count", ("%d"):format(said), { xmlns = "urn:example:shout" }));
	return true;
end);
function module.save() return { said = said }; end
function module.restore(state) said = state.said; end
]]
	local count = "<iq type='get' to='localhost'><count xmlns='urn:example:shout'/></iq>"

	setup(function () server = Server.start { plugins = {} } end)
	teardown(function () server:stop() end)
	before_each(function ()
		romeo = server:person("romeo", { resource = "orchard" })
		juliet = server:person "juliet"
		server:plugin("shout", code)
	end)
	after_each(function ()
		server:ctl("shell", "module unload shout localhost")
		server:forget_clients()
	end)

	local function says(text)
		romeo:sends(("<message to='juliet@localhost' type='chat'><body>%s</body></message>"):format(text))
		return juliet:awaits("<message from='romeo@localhost/orchard'/>"):child("body"):text()
	end

	it("changes what the server does once it is loaded, for those who are connected", function ()
		assert.equal("hello", says "hello")
		assert.equal("error", romeo:asks(count).attr.type)
		server:shell("module load shout localhost")
		assert.equal("HELLO", says "hello")
		assert.equal("1", romeo:asks(count):child():text())
	end)

	it("does the new thing after an edit and a reload, and remembers what it knew", function ()
		server:shell("module load shout localhost")
		assert.equal("ONE", says "one")
		server:plugin("shout", (code:gsub("body:upper%(%)", 'body:upper() .. "!"')))
		assert.equal("TWO", says "two") -- an edit alone does nothing
		server:shell("module reload shout localhost")
		assert.equal("THREE!", says "three")
		assert.equal("3", romeo:asks(count):child():text())
	end)

	it("goes on with its old code when the new one does not compile", function ()
		server:expects_error "mod_shout"
		server:shell("module load shout localhost")
		assert.equal("ONE", says "one")
		server:plugin("shout", code .. "\nend\n")
		local said, exit = server:ctl("shell", "module reload shout localhost")
		assert.equal(1, exit)
		assert.matches("mod_shout.lua:%d+:", said)
		assert.equal("TWO", says "two")
		assert.equal("2", romeo:asks(count):child():text())
	end)

	it("goes on with its old code when the new one dies as it starts", function ()
		server:expects_error "mod_shout"
		server:shell("module load shout localhost")
		assert.equal("ONE", says "one")
		server:plugin("shout", code .. "\nerror 'not today'\n")
		local said, exit = server:ctl("shell", "module reload shout localhost")
		assert.equal(1, exit)
		assert.matches("not today", said)
		assert.equal("TWO", says "two")
	end)

	it("leaves nothing behind when it is unloaded", function ()
		local before = server:hooks()
		server:shell("module load shout localhost")
		assert.not_equal(before, server:hooks())
		assert.equal("HELLO", says "hello")
		server:shell("module unload shout localhost")
		assert.equal(before, server:hooks())
		assert.equal("hello", says "hello")
		assert.equal("error", romeo:asks(count).attr.type)
	end)

	it("is reloaded a hundred times without a hook too many", function ()
		server:shell("module load shout localhost")
		local before = server:hooks()
		server:shell("> for _ = 1, 100 do assert(require 'core.modulemanager'.reload('localhost', 'shout')) end")
		assert.equal(before, server:hooks())
		assert.equal("HELLO", says "hello")
	end)
end)
