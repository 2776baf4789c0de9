--- coupletctl check certs: the certificate of each host, its names and how long it is good.

local warn_days = 14

return function (ctl, report)
	local config = ctl:load_config()
	local certmanager = require "prosody.core.certmanager"
	local x509 = require "prosody.util.x509"
	local now = os.time()
	for _, host in ipairs(config.hosts()) do
		if not config.rawget(host, "component_module") then
			local context, err, used = certmanager.create_context(host, "server", config.rawget(host, "ssl"))
			local path = type(used) == "table" and used.certificate
			local certificate, load_error = nil, nil
			if path then certificate, load_error = x509.load(path) end
			if not context then
				report:problem("%s: %s", host, tostring(err))
			elseif load_error then
				report:problem("%s: %s", host, load_error)
			elseif certificate then
				if not x509.verify_identity(host, "xmpp-client", certificate) then
					report:problem("%s: %s does not name this host", host, path)
				end
				local days = (certificate:notafter() - now) // 86400
				if days < 0 then
					report:problem("%s: %s has expired %d days ago", host, path, -days)
				elseif certificate:notbefore() > now then
					report:problem("%s: %s is not valid yet", host, path)
				elseif days < warn_days then
					report:problem("%s: %s expires in %d days", host, path, days)
				else
					report:print("%s: %s, valid for %d days", host, path, days)
				end
			end
		end
	end
end
