--- What store/files promises of the disk, through util.files; the disk is made to fail by T.files_fail_at and by a full
--- file system.

local disk = require "spec.support.disk";
local T = require "couplet_core";
local fake = require "spec.support.fake_module";
local files = require "prosody.util.files";

local function content(path)
	local file = io.open(path, "rb");
	if not file then return nil; end
	local text = file:read("a");
	file:close();
	return text;
end

local function output_of(command)
	local pipe = io.popen(command);
	local text = pipe:read("a");
	pipe:close();
	return text;
end

describe("atomic files", function ()
	local directory, path;

	before_each(function ()
		directory = fake.directory();
		path = directory .. "/file.dat";
	end);

	after_each(function ()
		T.files_fail_at(0);
		files.commit();
		files.defer(false);
		fake.remove(directory);
	end);

	local function names()
		local list = files.list(directory);
		table.sort(list);
		return table.concat(list, " ");
	end

	it("reads back what was written, of any bytes and none", function ()
		for _, bytes in ipairs { "", "a", "a\0b\r\n\255", ("0123456789"):rep(100000) } do
			assert.is_true(files.write(path, bytes));
			assert.equal(bytes, files.read(path));
			assert.equal(#bytes, files.size(path));
			assert.equal(bytes, content(path));
		end
		assert.equal("file.dat", names());
	end);

	it("tells an absent file from an error", function ()
		local text, err = files.read(path);
		assert.is_nil(text);
		assert.is_nil(err);
		text, err = files.read(directory);
		assert.is_nil(text);
		assert.matches("not a regular file", err);
		text, err = files.read(directory .. "/none/file");
		assert.is_nil(text);
		assert.is_nil(err);
	end);

	it("refuses a file larger than the ceiling", function ()
		files.write(path, ("x"):rep(1000));
		assert.equal(1000, #files.read(path, 1000));
		local text, err = files.read(path, 999);
		assert.is_nil(text);
		assert.matches("larger than 999 bytes", err);
	end);

	it("does not wait for a FIFO in the place of a file", function ()
		os.execute(("mkfifo '%s'"):format(path));
		local text, err = files.read(path);
		assert.is_nil(text);
		assert.matches("not a regular file", err);
		local ok;
		ok, err = files.append(path, "x");
		assert.is_nil(ok);
		assert.is_string(err);
	end);

	it("makes files that others cannot read", function ()
		files.write(path, "secret");
		files.append(directory .. "/file.list", "secret");
		assert.equal("", output_of(("find '%s' -type f -perm /o=rwx,g=wx"):format(directory)));
	end);

	it("replaces a link in the place of the file and leaves what it points to alone", function ()
		files.write(directory .. "/target", "precious");
		os.execute(("ln -s target '%s'"):format(path));
		local ok, err = files.append(path, "x");
		assert.is_nil(ok);
		assert.is_string(err);
		assert.is_nil((files.read(path, 100, "nofollow")));
		assert.equal("precious", files.read(path, 100));
		assert.is_true(files.write(path, "new"));
		assert.equal("new", files.read(path, 100, "nofollow"));
		assert.equal("precious", content(directory .. "/target"));
	end);

	it("is not fooled by a temporary file that a crash, or somebody, left", function ()
		files.write(directory .. "/target", "precious");
		os.execute(("ln -s target '%s~'"):format(path));
		assert.is_true(files.write(path, "new"));
		assert.equal("new", content(path));
		assert.equal("precious", content(directory .. "/target"));
		assert.equal("file.dat target", names());
	end);

	it("appends, and says where", function ()
		assert.same({ true, 0 }, { files.append(path, "one") });
		assert.same({ true, 3 }, { files.append(path, "two") });
		assert.equal("onetwo", content(path));
		assert.is_true(files.truncate(path, 4));
		assert.equal("onet", content(path));
	end);

	it("removes", function ()
		files.write(path, "x");
		assert.is_true(files.remove(path));
		assert.is_nil(files.read(path));
		assert.is_false(files.remove(path));
	end);

	it("makes directories with those above them, for nobody else", function ()
		assert.is_true(files.mkdir(directory .. "/a/b/c"));
		assert.is_true(files.mkdir(directory .. "/a/b/c"));
		assert.is_true(files.write(directory .. "/a/b/c/file", "x"));
		assert.equal("", output_of(("find '%s/a' -type d -perm /o=rwx,g=w"):format(directory)));
		local ok, err = files.mkdir(directory .. "/a/b/c/file/d");
		assert.is_nil(ok);
		assert.is_string(err);
		ok, err = files.mkdir(directory .. "/a/b/c/file");
		assert.is_nil(ok);
		assert.is_string(err);
	end);

	it("lists files and directories apart", function ()
		files.write(path, "x");
		files.mkdir(directory .. "/dir");
		assert.same({ { "file.dat" }, { "dir" } }, { files.list(directory) });
		assert.is_nil((files.list(directory .. "/none")));
	end);

	describe("within a turn", function ()
		before_each(function ()
			files.write(path, "old");
			files.defer(true);
		end);

		it("are seen by readers of the turn, and by the world at its end", function ()
			files.write(path, "new");
			assert.equal("new", files.read(path));
			assert.equal("old", content(path));
			assert.is_true(files.commit());
			assert.equal("new", content(path));
			assert.equal("file.dat", names());
		end);

		it("keep the last of several writes", function ()
			for i = 1, 10 do assert.is_true(files.write(path, "write " .. i)); end
			assert.is_true(files.append(path, " and more"));
			assert.equal("write 10 and more", files.read(path));
			assert.is_true(files.commit());
			assert.equal("write 10 and more", content(path));
			assert.equal("file.dat", names());
		end);

		it("are listed before they are there", function ()
			files.write(directory .. "/new.dat", "x");
			local list = files.list(directory);
			table.sort(list);
			assert.equal("file.dat new.dat new.dat~", table.concat(list, " "));
		end);

		it("forget a write when the file is removed afterwards", function ()
			files.write(path, "new");
			files.write(directory .. "/other", "new");
			assert.is_true(files.remove(path));
			assert.is_true(files.remove(directory .. "/other"));
			assert.is_nil(files.read(path));
			assert.is_true(files.commit());
			assert.equal("", names());
		end);

		it("may be more than there are descriptors for", function ()
			for i = 1, 2000 do assert(files.write(("%s/%d"):format(directory, i), tostring(i))); end
			for i = 1, 2000 do assert.equal(tostring(i), files.read(("%s/%d"):format(directory, i))); end
			assert.is_true(files.commit());
			for i = 1, 2000 do assert.equal(tostring(i), content(("%s/%d"):format(directory, i))); end
		end);

		it("tell whose write was lost when the disk fails at the end", function ()
			files.write(directory .. "/good", "good");
			files.write(path, "new");
			T.files_fail_at(3); -- fsync and rename of "good", then this
			local ok, err, lost = files.commit();
			assert.is_nil(ok);
			assert.matches("Input/output error", err);
			assert.same({ path }, lost);
			assert.equal("old", content(path));
			assert.equal("good", content(directory .. "/good"));
			assert.is_true(files.commit());
		end);
	end);

	it("have the old content or the new, and say which, wherever the disk fails", function ()
		for _, deferred in ipairs { false, true } do
			files.defer(deferred);
			for nth = 1, 12 do
				T.files_fail_at(0);
				files.write(path, "old");
				files.write(directory .. "/list", "old");
				assert.is_true(files.commit());

				T.files_fail_at(nth);
				local replaced = files.write(path, "new");
				local appended = files.append(directory .. "/list", "+new");
				local committed, err = files.commit();
				T.files_fail_at(0);

				local file, list = content(path), content(directory .. "/list");
				assert.is_true(file == "old" or file == "new");
				assert.is_true(list == "old" or list == "old+new");
				if committed and replaced then assert.equal("new", file); end
				if committed and appended then assert.equal("old+new", list); end
				if not committed then assert.is_string(err); end
				if nth > 7 then assert.is_true(committed and replaced and appended); end

				assert.is_true(files.write(path, "after"));
				assert.is_true(files.append(directory .. "/list", "+after"));
				assert.is_true(files.commit());
				assert.equal("after", content(path));
				assert.equal(list .. "+after", content(directory .. "/list"));
				assert.equal("file.dat list", names());
			end
		end
	end);

	describe("on a full disk", function ()
		local small, why;

		before_each(function () small, why = disk.mount "256k"; end);
		after_each(function ()
			if small then small:unmount(); end
		end);

		it("say so to the writer, keep the old content, and work again when there is room", function ()
			if not small then return pending(why); end
			local mount = small.folder;
			for _, deferred in ipairs { false, true } do
				files.defer(deferred);
				for _ = 1, 10 do
					assert.is_true(files.write(mount .. "/file", "old"));
					assert.is_true(files.write(mount .. "/list", "old"));
					assert.is_true(files.commit());

					local filler, ok, err = 0, true, nil;
					while ok do
						filler = filler + 1;
						ok, err = files.write(("%s/filler%d"):format(mount, filler), ("x"):rep(10000));
					end
					assert.matches("No space left", err);
					ok, err = files.write(mount .. "/file", ("n"):rep(20000));
					assert.is_nil(ok);
					assert.matches("No space left", err);
					ok, err = files.append(mount .. "/list", ("n"):rep(20000));
					assert.is_nil(ok);
					assert.matches("No space left", err);
					assert.is_true(files.commit());
					assert.equal("old", content(mount .. "/file"));
					assert.equal("old", content(mount .. "/list"));

					for i = 1, filler do files.remove(("%s/filler%d"):format(mount, i)); end
					assert.is_true(files.write(mount .. "/file", ("n"):rep(20000)));
					assert.is_true(files.append(mount .. "/list", ("n"):rep(20000)));
					assert.is_true(files.commit());
					assert.equal(("n"):rep(20000), content(mount .. "/file"));
					assert.equal("old" .. ("n"):rep(20000), content(mount .. "/list"));
				end
			end
		end);
	end);
end);
