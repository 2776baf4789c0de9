local softreq = require "util.dependencies".softreq

describe("util.dependencies", function ()
	it("gives the first library that is there", function ()
		assert.equal(require "util.set", softreq("no.such.part", "util.set"))
	end)

	it("says why there is none", function ()
		local library, err = softreq "no.such.part"
		assert.is_nil(library)
		assert.matches("no.such.part", err)
	end)

	it("does not hide a library that is broken", function ()
		package.preload["spec.broken"] = function () error "broken" end
		finally(function () package.preload["spec.broken"] = nil end)
		assert.has_error(function () softreq "spec.broken" end)
	end)
end)
