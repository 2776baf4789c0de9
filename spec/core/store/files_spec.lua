--- What store/files promises of the disk, through util.files; the disk is made to fail by T.files_fail_at and by a full
--- file system.

local disk = require "spec.support.disk"
local T = require "couplet_core"
local fake = require "spec.support.fake_module"
local files = require "prosody.util.files"

local function content(path)
	local file = io.open(path, "rb")
	if not file then return nil end
	local text = file:read("a")
	file:close()
	return text
end

local function output_of(command)
	local pipe = io.popen(command)
	local text = pipe:read("a")
	pipe:close()
	return text
end

describe("atomic files", function ()
	local directory, path

	before_each(function ()
		directory = fake.directory()
		path = directory .. "/file.dat"
	end)

	after_each(function ()
		T.files_fail_at(0)
		files.commit()
		files.defer(false)
		fake.remove(directory)
	end)

	local function names()
		local list = files.list(directory)
		table.sort(list)
		return table.concat(list, " ")
	end

	it("reads back what was written, of any bytes and none", function ()
		for _, bytes in ipairs { "", "a", "a\0b\r\n\255", ("0123456789"):rep(100000) } do
			assert.is_true(files.write(path, bytes))
			assert.equal(bytes, files.read(path))
			assert.equal(#bytes, files.size(path))
			assert.equal(bytes, content(path))
		end
		assert.equal("file.dat", names())
	end)

	it("tells an absent file from an error", function ()
		local text, err = files.read(path)
		assert.is_nil(text)
		assert.is_nil(err)
		text, err = files.read(directory)
		assert.is_nil(text)
		assert.matches("not a regular file", err)
		text, err = files.read(directory .. "/none/file")
		assert.is_nil(text)
		assert.is_nil(err)
	end)

	it("refuses a file larger than the ceiling", function ()
		files.write(path, ("x"):rep(1000))
		assert.equal(1000, #files.read(path, 1000))
		local text, err = files.read(path, 999)
		assert.is_nil(text)
		assert.matches("larger than 999 bytes", err)
	end)

	it("does not wait for a FIFO in the place of a file", function ()
		os.execute(("mkfifo '%s'"):format(path))
		local text, err = files.read(path)
		assert.is_nil(text)
		assert.matches("not a regular file", err)
		local ok
		ok, err = files.append(path, "x")
		assert.is_nil(ok)
		assert.is_string(err)
	end)

	it("makes files that others cannot read", function ()
		files.write(path, "secret")
		files.append(directory .. "/file.list", "secret")
		assert.equal("", output_of(("find '%s' -type f -perm /o=rwx,g=wx"):format(directory)))
	end)

	it("replaces a link in the place of the file and leaves what it points to alone", function ()
		files.write(directory .. "/target", "precious")
		os.execute(("ln -s target '%s'"):format(path))
		local ok, err = files.append(path, "x")
		assert.is_nil(ok)
		assert.is_string(err)
		assert.is_nil((files.read(path, 100, "nofollow")))
		assert.equal("precious", files.read(path, 100))
		assert.is_true(files.write(path, "new"))
		assert.equal("new", files.read(path, 100, "nofollow"))
		assert.equal("precious", content(directory .. "/target"))
	end)

	it("is not fooled by a temporary file that a crash, or somebody, left", function ()
		files.write(directory .. "/target", "precious")
		os.execute(("ln -s target '%s~'"):format(path))
		assert.is_true(files.write(path, "new"))
		assert.equal("new", content(path))
		assert.equal("precious", content(directory .. "/target"))
		assert.equal("file.dat target", names())
	end)

	it("appends, and says where", function ()
		assert.same({ true, 0 }, { files.append(path, "one") })
		assert.same({ true, 3 }, { files.append(path, "two") })
		assert.equal("onetwo", content(path))
		assert.is_true(files.truncate(path, 4))
		assert.equal("onet", content(path))
	end)

	it("removes", function ()
		files.write(path, "x")
		assert.is_true(files.remove(path))
		assert.is_nil(files.read(path))
		assert.is_false(files.remove(path))
	end)

	it("makes directories with those above them, for nobody else", function ()
		assert.is_true(files.mkdir(directory .. "/a/b/c"))
		assert.is_true(files.mkdir(directory .. "/a/b/c"))
		assert.is_true(files.write(directory .. "/a/b/c/file", "x"))
		assert.equal("", output_of(("find '%s/a' -type d -perm /o=rwx,g=w"):format(directory)))
		local ok, err = files.mkdir(directory .. "/a/b/c/file/d")
		assert.is_nil(ok)
		assert.is_string(err)
		ok, err = files.mkdir(directory .. "/a/b/c/file")
		assert.is_nil(ok)
		assert.is_string(err)
	end)

	it("lists files and directories apart", function ()
		files.write(path, "x")
		files.mkdir(directory .. "/dir")
		assert.same({ { "file.dat" }, { "dir" } }, { files.list(directory) })
		assert.is_nil((files.list(directory .. "/none")))
	end)

	describe("within a turn", function ()
		before_each(function ()
			files.write(path, "old")
			files.defer(true)
		end)

		it("are seen by readers of the turn, and by the world at its end", function ()
			files.write(path, "new")
			assert.equal("new", files.read(path))
			assert.equal("old", content(path))
			assert.is_true(files.commit())
			assert.equal("new", content(path))
			assert.equal("file.dat", names())
		end)

		it("keep the last of several writes", function ()
			for i = 1, 10 do assert.is_true(files.write(path, "write " .. i)) end
			assert.is_true(files.append(path, " and more"))
			assert.equal("write 10 and more", files.read(path))
			assert.is_true(files.commit())
			assert.equal("write 10 and more", content(path))
			assert.equal("file.dat", names())
		end)

		it("are listed before they are there", function ()
			files.write(directory .. "/new.dat", "x")
			local list = files.list(directory)
			table.sort(list)
			assert.equal("file.dat new.dat new.dat~", table.concat(list, " "))
		end)

		it("forget a write when the file is removed afterwards", function ()
			files.write(path, "new")
			files.write(directory .. "/other", "new")
			assert.is_true(files.remove(path))
			assert.is_true(files.remove(directory .. "/other"))
			assert.is_nil(files.read(path))
			assert.is_true(files.commit())
			assert.equal("", names())
		end)

		it("may be more than there are descriptors for", function ()
			for i = 1, 2000 do assert(files.write(("%s/%d"):format(directory, i), tostring(i))) end
			for i = 1, 2000 do assert.equal(tostring(i), files.read(("%s/%d"):format(directory, i))) end
			assert.is_true(files.commit())
			for i = 1, 2000 do assert.equal(tostring(i), content(("%s/%d"):format(directory, i))) end
		end)

		it("tell whose write was lost when the disk fails at the end", function ()
			files.write(directory .. "/good", "good")
			files.write(path, "new")
			T.files_fail_at(3) -- fsync and rename of "good", then this
			local ok, err, lost = files.commit()
			assert.is_nil(ok)
			assert.matches("Input/output error", err)
			assert.same({ path }, lost)
			assert.equal("old", content(path))
			assert.equal("good", content(directory .. "/good"))
			assert.is_true(files.commit())
		end)
	end)

	describe("while a batch is being synced", function ()
		local other

		before_each(function ()
			other = directory .. "/other.dat"
			files.write(path, "old")
			files.defer(true)
		end)

		-- If the test has left one.
		after_each(function () pcall(files.synced) end)

		local function listed()
			local list = {}
			for _, name in ipairs((files.list(directory))) do
				if not name:find("~", 1, true) then list[#list + 1] = name end
			end
			table.sort(list)
			return table.concat(list, " ")
		end

		local function seal() return assert(files.seal()) end
		local function is_synced(job)
			T.net.run_disk_job(job)
			return files.synced()
		end

		it("are one batch at a time, and nothing is none", function ()
			assert.is_nil(files.seal())
			files.write(path, "first")
			local job = seal()
			files.write(path, "second")
			assert.is_nil(files.seal())
			assert.is_true(is_synced(job))
			assert.is_true(is_synced(seal()))
			assert.is_nil(files.seal())
			assert.equal("second", content(path))
			assert.equal("file.dat", names())
		end)

		it("are written again: readers see the last, the disk gets one after the other", function ()
			files.write(path, "first")
			local job = seal()
			files.write(path, "second")
			files.write(path, "third")
			assert.equal("third", files.read(path))
			assert.equal("old", content(path))
			assert.is_true(is_synced(job))
			assert.equal("first", content(path))
			assert.equal("third", files.read(path))
			assert.is_true(files.commit())
			assert.equal("third", content(path))
			assert.equal("file.dat", names())
		end)

		it("are added to: what was replaced, what was added to, and what was removed", function ()
			for _, case in ipairs {
				{ function () files.write(path, "new") end, "new more" },
				{ function () files.append(path, " new") end, "old new more" },
				{ function () files.remove(path) end, " more" },
			} do
				files.defer(false)
				files.write(path, "old")
				files.defer(true)
				case[1]()
				local job = seal()
				local ok, offset = files.append(path, " more")
				assert.is_true(ok)
				assert.equal(#case[2] - 5, offset)
				assert.equal(case[2], files.read(path))
				assert.is_true(is_synced(job))
				assert.equal(case[2], files.read(path))
				assert.is_true(files.commit())
				assert.equal(case[2], content(path))
			end
		end)

		it("are removed, also when they are not there yet, and stay so", function ()
			files.write(path, "new")
			files.write(other, "new")
			local job = seal()
			assert.is_true(files.remove(path))
			assert.is_true(files.remove(other))
			assert.is_false(files.remove(other))
			assert.is_nil((files.read(other)))
			assert.is_nil((files.size(path)))
			assert.equal("", listed())
			assert.is_true(is_synced(job))
			assert.is_nil((files.read(path)))
			assert.equal("", listed())
			assert.is_true(files.commit())
			assert.equal("", names())
		end)

		it("are written after they were removed", function ()
			files.remove(path)
			local job = seal()
			assert.is_nil((files.read(path)))
			files.write(path, "again")
			assert.equal("again", files.read(path))
			assert.equal("file.dat", listed())
			assert.is_true(is_synced(job))
			assert.is_true(files.commit())
			assert.equal("again", content(path))
		end)

		it("are lost with it when it fails, the later ones first, and the old content is back", function ()
			files.append(path, " appended")
			files.write(other, "new")
			local job = seal()
			files.append(path, " twice")
			files.append(other, "er")
			files.write(directory .. "/third", "x")
			T.files_fail_at(1)
			local ok, err, lost = is_synced(job)
			T.files_fail_at(0)
			assert.is_nil(ok)
			assert.matches("Input/output error", err)
			table.sort(lost)
			assert.equal("old", content(path))
			assert.equal("new", content(other)) -- its own batch had it whole
			assert.same({ path, path, other, directory .. "/third" }, lost)
			assert.is_nil((files.seal()))
			assert.is_true(files.write(path, "later"))
			assert.is_true(is_synced(seal()))
			assert.equal("later", content(path))
			assert.equal("file.dat other.dat", names())
		end)

		it("have the old content or the new, wherever the disk fails", function ()
			for nth = 1, 14 do
				files.defer(false)
				T.files_fail_at(0)
				files.write(path, "old")
				files.remove(other)
				files.defer(true)
				files.write(path, "first")
				files.append(other, "one")
				local job = seal()
				files.write(path, "second")
				files.append(other, "two")
				T.files_fail_at(nth)
				local first = is_synced(job)
				local second = first and files.commit()
				T.files_fail_at(0)
				local now, its = content(path), io.open(other) and content(other) or ""
				if second then
					assert.equal("second", now)
					assert.equal("onetwo", its)
				else
					assert.is_true(now == "old" or now == "first" or now == "second", now)
					assert.is_true(its == "" or its == "one" or its == "onetwo", its)
				end
				if first then assert.not_equal("old", now) end
				assert.is_nil(files.seal())
				assert.equal(now, files.read(path))
			end
		end)
	end)

	it("have the old content or the new, and say which, wherever the disk fails", function ()
		for _, deferred in ipairs { false, true } do
			files.defer(deferred)
			for nth = 1, 12 do
				T.files_fail_at(0)
				files.write(path, "old")
				files.write(directory .. "/list", "old")
				assert.is_true(files.commit())

				T.files_fail_at(nth)
				local replaced = files.write(path, "new")
				local appended = files.append(directory .. "/list", "+new")
				local committed, err = files.commit()
				T.files_fail_at(0)

				local file, list = content(path), content(directory .. "/list")
				assert.is_true(file == "old" or file == "new")
				assert.is_true(list == "old" or list == "old+new")
				if committed and replaced then assert.equal("new", file) end
				if committed and appended then assert.equal("old+new", list) end
				if not committed then assert.is_string(err) end
				if nth > 7 then assert.is_true(committed and replaced and appended) end

				assert.is_true(files.write(path, "after"))
				assert.is_true(files.append(directory .. "/list", "+after"))
				assert.is_true(files.commit())
				assert.equal("after", content(path))
				assert.equal(list .. "+after", content(directory .. "/list"))
				assert.equal("file.dat list", names())
			end
		end
	end)

	describe("on a full disk", function ()
		local small, why

		before_each(function () small, why = disk.mount "256k" end)
		after_each(function ()
			if small then small:unmount() end
		end)

		it("say so to the writer, keep the old content, and work again when there is room", function ()
			if not small then return pending(why) end
			local mount = small.folder
			for _, deferred in ipairs { false, true } do
				files.defer(deferred)
				for _ = 1, 10 do
					assert.is_true(files.write(mount .. "/file", "old"))
					assert.is_true(files.write(mount .. "/list", "old"))
					assert.is_true(files.commit())

					local filler, ok, err = 0, true, nil
					while ok do
						filler = filler + 1
						ok, err = files.write(("%s/filler%d"):format(mount, filler), ("x"):rep(10000))
					end
					assert.matches("No space left", err)
					ok, err = files.write(mount .. "/file", ("n"):rep(20000))
					assert.is_nil(ok)
					assert.matches("No space left", err)
					ok, err = files.append(mount .. "/list", ("n"):rep(20000))
					assert.is_nil(ok)
					assert.matches("No space left", err)
					assert.is_true(files.commit())
					assert.equal("old", content(mount .. "/file"))
					assert.equal("old", content(mount .. "/list"))

					for i = 1, filler do files.remove(("%s/filler%d"):format(mount, i)) end
					assert.is_true(files.write(mount .. "/file", ("n"):rep(20000)))
					assert.is_true(files.append(mount .. "/list", ("n"):rep(20000)))
					assert.is_true(files.commit())
					assert.equal(("n"):rep(20000), content(mount .. "/file"))
					assert.equal("old" .. ("n"):rep(20000), content(mount .. "/list"))
				end
			end
		end)
	end)
end)
