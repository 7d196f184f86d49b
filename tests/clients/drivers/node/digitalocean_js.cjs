// digitalocean-js
"use strict";
const { assert, done, droplet, rejects, run, token, url } = require("./driver.cjs");
const { DigitalOcean } = require("digitalocean-js");

run(async () => {
  const client = new DigitalOcean(token, `${url}/v2`);
  const volumes = client.blockStorage;
  const actions = client.blockStorageActions;
  assert.equal((await client.account.getUserInformation()).status, "active");
  assert.ok((await client.regions.getAllRegions()).length > 0);
  assert.equal((await client.droplets.getExistingDroplet(droplet)).id, droplet);
  assert.ok((await client.droplets.getAllDroplets()).length > 0);
  done("read the account", "list regions", "get a Droplet", "list Droplets");

  assert.ok((await volumes.getAllBlockStorage()).length > 2);
  const fresh = { name: "js", region: "nyc3", size_gigabytes: 10, description: "" };
  const volume = await volumes.createBlockStorage(fresh);
  assert.deepEqual(await volumes.getBlockStorageById(volume.id), volume);
  assert.deepEqual(await volumes.getBlockStorageByName("js", "nyc3"), [volume]);
  done("list volumes", "create a volume", "get a volume", "find a volume by name");
  await rejects(volumes.createBlockStorage(fresh), 409, "already exists");
  done("be told that a name is taken");

  const snapshot = await volumes.createSnapshotFromVolume(volume.id, "one");
  assert.deepEqual(await volumes.getSnapshotsForVolume(volume.id), [snapshot]);
  assert.ok((await client.snapshots.getSnapshots("volume")).length > 1);
  assert.deepEqual(await client.snapshots.getSnapshotById(snapshot.id), snapshot);
  done("create a snapshot", "list a volume's snapshots", "list all snapshots", "get a snapshot");
  await volumes.createBlockStorage({ ...fresh, name: "copy", snapshot_id: snapshot.id });
  done("create one from a snapshot");

  const place = { droplet_id: droplet, region: "nyc3", volume_name: "js" };
  const action = await actions.attachVolumeToDroplet(volume.id, { type: "attach", ...place });
  assert.equal((await actions.getExistingVolumeAction(volume.id, action.id)).status, "completed");
  assert.equal((await actions.getAllVolumeActions(volume.id)).length, 1);
  assert.equal((await client.actions.getExistingAction(action.id)).id, action.id);
  assert.ok((await client.actions.getAllActions()).length > 0);
  done("attach", "get a volume's action", "list a volume's actions");
  done("get an action", "list all actions");
  await rejects(volumes.deleteBlockStorageById(volume.id), 409, "attached volume cannot be deleted");
  done("be told that it is attached");
  await actions.detachVolumeFromDroplet(volume.id, { type: "detach", ...place });
  await actions.attachVolumeToDropletByName({ type: "attach", ...place });
  await actions.detachVolumeFromDropletByName({ type: "detach", ...place });
  await actions.resizeVolume(volume.id, { type: "resize", size_gigabytes: 20, region: "nyc3" });
  assert.equal((await volumes.getBlockStorageById(volume.id)).size_gigabytes, 20);
  done("detach", "attach by name", "detach by name", "resize");

  await client.snapshots.deleteSnapshot(snapshot.id);
  await volumes.deleteBlockStorageById(volume.id);
  await volumes.deleteBlockStorageByName("copy", "nyc3");
  done("delete a snapshot", "delete a volume", "delete a volume by name");
  await rejects(volumes.getBlockStorageById(volume.id), 404, "could not be found");
  done("be told that a volume is gone");
});
