--- What a status of HTTP means as an error of XMPP: new(404).condition is "item-not-found". For modules that pass on
-- what a web service said. Also why there was no answer, in the words of net.http: new("timeout").
local codes = require "prosody.net.http.codes"
local errors = require "prosody.util.error"

local pairs = pairs

local _ENV = nil

-- Statuses with a condition of their own; the others follow their hundred.
local conditions = {
	[400] = { "modify", "bad-request" }, [401] = { "auth", "not-authorized" }, [402] = { "auth", "payment-required" },
	[403] = { "auth", "forbidden" }, [404] = { "cancel", "item-not-found" }, [405] = { "cancel", "not-allowed" },
	[406] = { "modify", "not-acceptable" }, [407] = { "auth", "registration-required" },
	[408] = { "wait", "remote-server-timeout" }, [409] = { "cancel", "conflict" }, [410] = { "cancel", "gone" },
	[411] = { "modify", "bad-request" }, [412] = { "cancel", "conflict" }, [413] = { "modify", "resource-constraint" },
	[414] = { "modify", "resource-constraint" }, [415] = { "cancel", "feature-not-implemented" },
	[416] = { "modify", "item-not-found" }, [423] = { "wait", "resource-constraint" },
	[429] = { "wait", "resource-constraint" }, [431] = { "modify", "resource-constraint" },
	[451] = { "auth", "forbidden" }, [500] = { "cancel", "internal-server-error" },
	[501] = { "cancel", "feature-not-implemented" }, [502] = { "wait", "remote-server-timeout" },
	[503] = { "cancel", "service-unavailable" }, [504] = { "wait", "remote-server-timeout" },
	[507] = { "wait", "resource-constraint" },
}

local registry = {}
for code, name in pairs(codes) do
	local condition = conditions[code] or (code >= 500 and conditions[500]) or (code >= 400 and conditions[400])
		or { "cancel", "undefined-condition" }
	registry[code] = { type = condition[1], condition = condition[2], code = code, text = name:sub(5) }
end

local function without_answer(type, condition, text)
	return { type = type, condition = condition, code = 0, text = text }
end

registry["cancelled"] = without_answer("cancel", "remote-server-timeout", "The request was cancelled")
registry["timeout"] = without_answer("wait", "remote-server-timeout", "There was no answer in time")
registry["connection failed"] = without_answer("wait", "remote-server-timeout", "The server could not be reached")
registry["connection-closed"] = without_answer("wait", "remote-server-timeout", "The server ended the connection")
registry["unable to resolve service"] = without_answer("wait", "remote-server-not-found", "The name is not known")
registry["certificate-chain-invalid"] = without_answer("cancel", "remote-server-timeout",
	"The server's certificate is not trusted")
registry["certificate-verify-failed"] = without_answer("cancel", "remote-server-timeout",
	"The server's certificate is for another name")
registry["tls-failed"] = without_answer("cancel", "remote-server-timeout", "There is no TLS with the server")
registry["invalid-url"] = without_answer("modify", "bad-request", "Not a URL of http or https")
registry["invalid-request"] = without_answer("cancel", "internal-server-error", "The request could not be made")
registry["invalid-response"] = without_answer("cancel", "remote-server-timeout", "The server does not speak HTTP")
registry["response-too-large"] = without_answer("cancel", "resource-constraint", "The answer is too large")
registry["too-many-redirects"] = without_answer("cancel", "remote-server-timeout", "The server redirects in circles")
registry["address-not-allowed"] = without_answer("cancel", "forbidden", "The address is one of a private network")
registry["sink-failed"] = without_answer("cancel", "internal-server-error", "The answer could not be stored")

--- A util.error for the status or word; instance_fields as in util.error.
local function new(code, context, instance_fields)
	return errors.new(code, context, registry, "net.http", instance_fields)
end

return { registry = registry, new = new }
