--- The option `unbound`: how names are looked up. A table with any of
--	resolvconf   true (default): ask the name servers of /etc/resolv.conf; its path, when it is elsewhere; false: do not
--	hoststxt     the same for /etc/hosts, whose names are known without asking
--	forward      ask these name servers instead: "192.0.2.1", "192.0.2.1@5353", or a list of such
--	             (with neither these nor resolvconf the root servers are asked, and then those they name)
--	trusted      trust anchors, DS or DNSKEY records as in a zone file: a text or a list. {} (and no trustfile): nothing
--	             is validated
--	trustfile    files of such records: a path or a list
--	             (with neither the keys of the root zone are trusted)
--	options      name = value as in unbound.conf(5), value a list for several lines
-- Always true: what is not understood is an error that names the mend; it is never taken for something else.
local config = require "prosody.core.configmanager"
local new_ip = require "prosody.util.ip".new_ip
local sorted_keys = require "prosody.util.table".sorted_keys
local ipairs, pairs, rawget, tonumber, tostring, type = ipairs, pairs, rawget, tonumber, tostring, type
local s_format, s_match = string.format, string.match
local io_open, t_concat = io.open, table.concat
local prosody = rawget(_G, "prosody")

local _ENV = nil

-- Debian keeps the first up to date. The second are the two keys in use: https://data.iana.org/root-anchors/
local ROOT_KEY_FILE = "/usr/share/dns/root.key"
local ROOT_KEYS = {
	". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
	". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
}

local mend = "Ask others (unbound = { forward = \"ADDRESS\" }) or the root servers " ..
	"(unbound = { resolvconf = false }); unbound = { trusted = {} } does without validation"

local function is_readable(path)
	local file = io_open(path)
	if file then
		file:close()
	end
	return file ~= nil
end

-- Checks: each gives nothing when the value is good, else what it has to be.

local function path_or_flag(value)
	if type(value) ~= "boolean" and type(value) ~= "string" then
		return "true, false or the path of a file"
	end
end

-- A check of a text or a list of them, or false for none.
local function texts(what, is_good)
	return function (value)
		if value == false then
			return nil
		end
		for _, one in ipairs(config.as_list(value)) do
			if type(one) ~= "string" or is_good and not is_good(one) then
				return what
			end
		end
	end
end

local function is_server(text)
	local address, port = s_match(text, "^([^@]*)@?(%d*)$")
	return address and (new_ip(address, "IPv4") or new_ip(address, "IPv6")) and (port == "" or tonumber(port) <= 65535)
		and (port ~= "" or not s_match(text, "@$"))
end

local function named_values(value)
	if type(value) ~= "table" then
		return "a table such as { [\"edns-buffer-size\"] = 1232 }"
	end
	for name in pairs(value) do
		if type(name) ~= "string" then
			return "a table such as { [\"edns-buffer-size\"] = 1232 }"
		end
	end
end

local checks = {
	resolvconf = path_or_flag,
	hoststxt = path_or_flag,
	forward = texts("the address of a name server, such as \"192.0.2.1\" or \"192.0.2.1@5353\", or a list of them",
		is_server),
	trusted = texts("a DS or DNSKEY record as in a zone file, or a list of them"),
	trustfile = texts("the path of a file, or a list of them"),
	options = named_values,
}

--- Is the option well formed? true, or nil and a sentence.
local function check(wanted)
	if wanted == nil then
		return true
	elseif type(wanted) ~= "table" then
		return nil, "unbound must be a table, such as unbound = { forward = \"192.0.2.1\" }"
	end
	local names = sorted_keys(checks)
	for name, value in pairs(wanted) do
		if not checks[name] then
			return nil, s_format("unbound: there is no \"%s\"; there are %s", tostring(name), t_concat(names, ", "))
		end
		local expected = checks[name](value)
		if expected then
			return nil, s_format("unbound: %s must be %s", name, expected)
		end
	end
	return true
end

-- From the words of the configuration to those of couplet.unbound

local function absolute(path)
	local folder = prosody and prosody.paths and prosody.paths.config
	return folder and config.resolve_relative_path(folder, path) or path
end

-- true means the usual path, if there is such a file; false none.
local function path_setting(value, usual)
	if value == nil or value == true then
		return is_readable(usual) and usual or nil
	end
	return value and absolute(value) or nil
end

local function paths_setting(value)
	if not value then
		return nil
	end
	local list = {}
	for i, path in ipairs(config.as_list(value)) do
		list[i] = absolute(path)
	end
	return list
end

-- { name = value or { value, ... } } as a list of pairs, in order of name.
local function option_pairs(options)
	local list = {}
	for _, name in ipairs(sorted_keys(options or {})) do
		local value = options[name]
		for _, one in ipairs(config.as_list(value)) do
			if type(one) == "boolean" then
				one = one and "yes" or "no"
			end
			list[#list + 1] = { name, tostring(one) }
		end
	end
	return list
end

--- What couplet.unbound.new wants to be told, or nil and a sentence. is_unvalidated: without trust anchors.
local function native(wanted, is_unvalidated)
	local ok, err = check(wanted)
	if not ok then
		return nil, err
	end
	wanted = wanted or {}
	local trusted, trustfile = wanted.trusted, paths_setting(wanted.trustfile)
	if is_unvalidated then
		trusted, trustfile = nil, nil
	elseif trusted == nil and wanted.trustfile == nil then
		if is_readable(ROOT_KEY_FILE) then
			trustfile = ROOT_KEY_FILE
		else
			trusted = ROOT_KEYS
		end
	end
	return {
		resolvconf = not wanted.forward and path_setting(wanted.resolvconf, "/etc/resolv.conf") or nil,
		hosts = path_setting(wanted.hoststxt, "/etc/hosts"),
		forward = wanted.forward or nil,
		trusted = trusted or nil,
		trustfile = trustfile or nil,
		options = option_pairs(wanted.options),
	}
end

--- May lookups go on without validation when the name servers leave out what it needs? Not when others rely on it
-- (DANE), when the admin has said whom to trust, or when it is the root servers that are asked.
local function may_go_without_validation(wanted)
	wanted = type(wanted) == "table" and wanted or {}
	local asks_others = wanted.forward or wanted.resolvconf ~= false
	return asks_others and wanted.trusted == nil and wanted.trustfile == nil and config.get("*", "use_dane") ~= true
end

return {
	check = check,
	native = native,
	may_go_without_validation = may_go_without_validation,
	mend = mend,
}
