// dots-wrapper
"use strict";
const { assert, done, droplet, rejects, run, token, url } = require("./driver.cjs");
const { createApiClient } = require("dots-wrapper");

run(async () => {
  const client = createApiClient({ token, endpoint: `${url}/v2` });
  const volumes = client.volume;
  assert.equal((await client.account.getAccount()).data.account.status, "active");
  assert.equal((await client.region.listRegions({})).data.meta.total, 15);
  assert.equal((await client.droplet.getDroplet({ droplet_id: droplet })).data.droplet.id, droplet);
  assert.ok((await client.droplet.listDroplets({})).data.droplets.length > 0);
  done("read the account", "list regions", "get a Droplet", "list Droplets");

  assert.equal((await volumes.listVolumes({ per_page: 2 })).data.volumes.length, 2);
  const fresh = { name: "dots", region: "nyc3", size_gigabytes: 10, tags: ["dots"] };
  const { volume } = (await volumes.createVolume(fresh)).data;
  const volume_id = volume.id;
  assert.deepEqual((await volumes.getVolume({ volume_id })).data.volume, volume);
  assert.deepEqual((await volumes.listVolumes({ name: "dots" })).data.volumes, [volume]);
  done("list volumes", "create a volume", "get a volume", "find a volume by name");
  await rejects(volumes.createVolume(fresh), 409, "already exists");
  done("be told that a name is taken");

  const { snapshot } = (await volumes.createVolumeSnapshot({ volume_id, name: "one" })).data;
  const snapshot_id = snapshot.id;
  assert.equal((await volumes.listVolumeSnapshots({ volume_id })).data.snapshots[0].id, snapshot_id);
  assert.ok((await client.snapshot.listSnapshots({ resource_type: "volume" })).data.meta.total > 1);
  assert.deepEqual((await client.snapshot.getSnapshot({ snapshot_id })).data.snapshot, snapshot);
  done("create a snapshot", "list a volume's snapshots", "list all snapshots", "get a snapshot");
  await volumes.createVolume({ name: "copy", region: "nyc3", size_gigabytes: 10, snapshot_id });
  done("create one from a snapshot");

  const place = { volume_id, droplet_id: droplet, region: "nyc3" };
  const { action } = (await volumes.attachVolumeToDroplet(place)).data;
  const action_id = action.id;
  const polled = (await volumes.getVolumeAction({ volume_id, action_id })).data.action;
  assert.equal(polled.status, "completed");
  assert.deepEqual((await volumes.getVolume({ volume_id })).data.volume.droplet_ids, [droplet]);
  assert.equal((await volumes.listVolumeActions({ volume_id })).data.actions.length, 1);
  assert.equal((await client.action.getAction({ action_id })).data.action.id, action_id);
  assert.ok((await client.action.listActions({})).data.actions.length > 0);
  done("attach", "get a volume's action", "list a volume's actions");
  done("get an action", "list all actions");
  await rejects(volumes.deleteVolume({ volume_id }), 409, "attached volume cannot be deleted");
  done("be told that it is attached");
  await volumes.detachVolumeFromDroplet(place);
  await volumes.resizeVolume({ volume_id, size_gigabytes: 20, region: "nyc3" });
  assert.equal((await volumes.getVolume({ volume_id })).data.volume.size_gigabytes, 20);
  done("detach", "resize");

  await client.tag.createTag({ name: "more" });
  const resources = [{ resource_id: volume_id, resource_type: "volume" }];
  await client.tag.tagResources({ tag_name: "more", resources });
  assert.deepEqual((await volumes.getVolume({ volume_id })).data.volume.tags, ["dots", "more"]);
  done("create a tag", "tag a volume");

  await client.snapshot.deleteSnapshot({ snapshot_id });
  await volumes.deleteVolume({ volume_id });
  await volumes.deleteVolumeByName({ volume_name: "copy", region: "nyc3" });
  done("delete a snapshot", "delete a volume", "delete a volume by name");
  await rejects(volumes.getVolume({ volume_id }), 404, "could not be found");
  done("be told that a volume is gone");
});
