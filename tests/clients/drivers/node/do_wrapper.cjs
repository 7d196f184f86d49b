// do-wrapper, which has no setting for another host and ends some paths with a slash.
"use strict";
const { assert, done, droplet, rejects, run, token, url } = require("./driver.cjs");
const DigitalOcean = require("do-wrapper").default;

run(async () => {
  const client = new DigitalOcean(token, 20);
  client.volumes.requestHelper.apiUrl = `${url}/v2/`;
  assert.equal((await client.account.get()).account.status, "active");
  assert.equal((await client.regions.getAll("", true)).length, 15);
  assert.equal((await client.droplets.getById(String(droplet))).droplet.id, droplet);
  assert.ok((await client.droplets.getAll("")).droplets.length > 0);
  done("read the account", "list regions", "get a Droplet", "list Droplets");

  assert.ok((await client.volumes.getAll("")).volumes.length > 2);
  const fresh = { name: "wrapper", region: "nyc3", size_gigabytes: 10 };
  const { volume } = await client.volumes.create(fresh);
  assert.deepEqual((await client.volumes.getById(volume.id)).volume, volume);
  const named = await client.volumes.getByNameAndRegion("wrapper", "nyc3");
  assert.deepEqual(named.volumes, [volume]);
  done("list volumes", "create a volume", "get a volume", "find a volume by name");
  await rejects(client.volumes.create(fresh), 409, "already exists");
  done("be told that a name is taken");

  const { snapshot } = await client.volumes.createSnapshot(volume.id, { name: "one" });
  assert.deepEqual((await client.volumes.getSnapshots(volume.id)).snapshots, [snapshot]);
  assert.ok((await client.snapshots.getForVolumes("", true)).length > 1);
  assert.deepEqual((await client.snapshots.getById(snapshot.id)).snapshot, snapshot);
  done("create a snapshot", "list a volume's snapshots", "list all snapshots", "get a snapshot");
  await client.volumes.create({ name: "copy", region: "nyc3", size_gigabytes: 10, snapshot_id: snapshot.id });
  done("create one from a snapshot");

  const place = { droplet_id: droplet, region: "nyc3" };
  const { action } = await client.volumes.requestAction(volume.id, { type: "attach", ...place });
  assert.equal((await client.actions.getById(String(action.id))).action.status, "completed");
  assert.ok((await client.actions.get("", true)).length > 0);
  assert.deepEqual((await client.volumes.getById(volume.id)).volume.droplet_ids, [droplet]);
  done("attach", "get an action", "list all actions");
  await rejects(client.volumes.deleteById(volume.id), 409, "attached volume cannot be deleted");
  done("be told that it is attached");
  await client.volumes.requestAction(volume.id, { type: "detach", ...place });
  await client.volumes.requestAction(volume.id, { type: "resize", size_gigabytes: 20 });
  assert.equal((await client.volumes.getById(volume.id)).volume.size_gigabytes, 20);
  done("detach", "resize");

  await client.tags.create("wrapper");
  const resources = [{ resource_id: volume.id, resource_type: "volume" }];
  await client.tags.addResources("wrapper", { resources });
  assert.deepEqual((await client.volumes.getById(volume.id)).volume.tags, ["wrapper"]);
  done("create a tag", "tag a volume");

  await client.snapshots.deleteById(snapshot.id);
  await client.volumes.deleteById(volume.id);
  await client.volumes.deleteByNameAndRegion("copy", "nyc3");
  done("delete a snapshot", "delete a volume", "delete a volume by name");
  await rejects(client.volumes.getById(volume.id), 404, "could not be found");
  done("be told that a volume is gone");
});
