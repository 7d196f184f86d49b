// godo, the vendor's client for Go, on which doctl, terraform's provider and the CSI driver stand.
// See ../driver.py for what a driver does.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"
)

var ctx = context.Background()

func done(operations ...string) {
	for _, operation := range operations {
		fmt.Printf("done: %s\n", operation)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what string) {
	if !holds {
		panic("does not hold: " + what)
	}
}

func refused(response *godo.Response, err error, status int, text string) {
	check(err != nil && response.StatusCode == status, fmt.Sprintf("status %d: %v", status, err))
	check(strings.Contains(err.Error(), text), err.Error())
}

func main() {
	token := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: os.Getenv("SIMULATOR_TOKEN")})
	client, err := godo.New(oauth2.NewClient(ctx, token), godo.SetBaseURL(os.Getenv("SIMULATOR_URL")))
	must(err)
	droplet, err := strconv.Atoi(os.Getenv("SIMULATOR_DROPLET"))
	must(err)

	account, _, err := client.Account.Get(ctx)
	must(err)
	check(account.Status == "active", "the account is active")
	regions, _, err := client.Regions.List(ctx, nil)
	must(err)
	check(len(regions) > 0, "there are regions")
	one, _, err := client.Droplets.Get(ctx, droplet)
	must(err)
	address, err := one.PublicIPv4()
	must(err)
	check(one.ID == droplet && address != "", "the Droplet is whole")
	droplets, _, err := client.Droplets.List(ctx, nil)
	must(err)
	check(len(droplets) > 0, "there are Droplets")
	done("read the account", "list regions", "get a Droplet", "list Droplets")

	page, response, err := client.Storage.ListVolumes(
		ctx, &godo.ListVolumeParams{ListOptions: &godo.ListOptions{PerPage: 2}})
	must(err)
	check(len(page) == 2 && !response.Links.IsLastPage(), "there are pages")
	fresh := &godo.VolumeCreateRequest{Name: "godo", Region: "nyc3", SizeGigaBytes: 10}
	volume, _, err := client.Storage.CreateVolume(ctx, fresh)
	must(err)
	got, _, err := client.Storage.GetVolume(ctx, volume.ID)
	must(err)
	check(got.Name == "godo" && got.Region.Slug == "nyc3", "the volume is the one")
	named, _, err := client.Storage.ListVolumes(
		ctx, &godo.ListVolumeParams{Name: "godo", Region: "nyc3"})
	must(err)
	check(len(named) == 1 && named[0].ID == volume.ID, "it is found by its name")
	done("list volumes", "create a volume", "get a volume", "find a volume by name")
	_, response, err = client.Storage.CreateVolume(ctx, fresh)
	refused(response, err, 409, "already exists")
	done("be told that a name is taken")

	snapshot, _, err := client.Storage.CreateSnapshot(
		ctx, &godo.SnapshotCreateRequest{VolumeID: volume.ID, Name: "one", Tags: []string{"go"}})
	must(err)
	own, _, err := client.Storage.ListSnapshots(ctx, volume.ID, nil)
	must(err)
	check(len(own) == 1 && own[0].ID == snapshot.ID, "the snapshot is listed")
	all, _, err := client.Snapshots.ListVolume(ctx, nil)
	must(err)
	check(len(all) > 1, "there are snapshots")
	single, _, err := client.Snapshots.Get(ctx, snapshot.ID)
	must(err)
	check(single.ResourceID == volume.ID, "the snapshot is of the volume")
	done("create a snapshot", "list a volume's snapshots", "list all snapshots", "get a snapshot")
	copied, _, err := client.Storage.CreateVolume(ctx, &godo.VolumeCreateRequest{
		Name: "copy", Region: "nyc3", SizeGigaBytes: 10, SnapshotID: snapshot.ID})
	must(err)
	done("create one from a snapshot")

	action, _, err := client.StorageActions.Attach(ctx, volume.ID, droplet)
	must(err)
	action, _, err = client.StorageActions.Get(ctx, volume.ID, action.ID)
	must(err)
	check(action.Status == godo.ActionCompleted, "attached")
	actions, _, err := client.StorageActions.List(ctx, volume.ID, nil)
	must(err)
	check(len(actions) == 1, "one action")
	_, _, err = client.Actions.Get(ctx, action.ID)
	must(err)
	_, _, err = client.Actions.List(ctx, nil)
	must(err)
	got, _, err = client.Storage.GetVolume(ctx, volume.ID)
	must(err)
	check(len(got.DropletIDs) == 1 && got.DropletIDs[0] == droplet, "it is on the Droplet")
	done("attach", "get a volume's action", "list a volume's actions")
	done("get an action", "list all actions")
	response, err = client.Storage.DeleteVolume(ctx, volume.ID)
	refused(response, err, 409, "attached volume cannot be deleted")
	done("be told that it is attached")
	_, _, err = client.StorageActions.DetachByDropletID(ctx, volume.ID, droplet)
	must(err)
	_, _, err = client.StorageActions.Resize(ctx, volume.ID, 20, "nyc3")
	must(err)
	got, _, err = client.Storage.GetVolume(ctx, volume.ID)
	must(err)
	check(got.SizeGigaBytes == 20 && len(got.DropletIDs) == 0, "it has grown and is free")
	done("detach", "resize")

	_, _, err = client.Tags.Create(ctx, &godo.TagCreateRequest{Name: "godo"})
	must(err)
	_, err = client.Tags.TagResources(ctx, "godo", &godo.TagResourcesRequest{
		Resources: []godo.Resource{{ID: volume.ID, Type: godo.VolumeResourceType}}})
	must(err)
	got, _, err = client.Storage.GetVolume(ctx, volume.ID)
	must(err)
	check(len(got.Tags) == 1 && got.Tags[0] == "godo", "it is tagged")
	done("create a tag", "tag a volume")

	_, err = client.Snapshots.Delete(ctx, snapshot.ID)
	must(err)
	_, err = client.Storage.DeleteVolume(ctx, volume.ID)
	must(err)
	_, err = client.Storage.DeleteVolume(ctx, copied.ID)
	must(err)
	done("delete a snapshot", "delete a volume")
	_, response, err = client.Storage.GetVolume(ctx, volume.ID)
	refused(response, err, 404, "could not be found")
	done("be told that a volume is gone")
}
