--- ANONYMOUS (RFC 4505, XEP-0175): a name made up by the server. What the client sends along is for tracing only and is
-- not looked at.

local new_name = require "prosody.util.uuid".generate

local _ENV = nil

local max_tries = 8 -- a name may be taken, but not that often

local function anonymous(self, _)
	for _ = 1, max_tries do
		local username = new_name():lower()
		if self.profile.anonymous(self, username, self.realm) then
			self.username = username
			return "success"
		end
	end
	return "failure", "temporary-auth-failure"
end

local function init(register_mechanism)
	register_mechanism("ANONYMOUS", { "anonymous" }, anonymous)
end

return { init = init }
