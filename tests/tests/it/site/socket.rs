//! An application of another user calls through the Unix socket.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use outrigger_tests::kafka::TopicSpec;
use outrigger_tests::left_out::left_out;
use outrigger_tests::node::{STORE, binary};

use super::{Place, is_root, run, text};

const SOMEBODY: u32 = 65_534;
const GROUP: u32 = 42_424;
const OTHER_GROUP: u32 = 42_425;

/// The built binary where every user may run it.
struct Program(PathBuf);

impl Program {
    fn in_the_open(place: &Place) -> Result<Program> {
        fs::set_permissions(place.dir.path(), Permissions::from_mode(0o755))?;
        let path = place.dir.path().join("outrigger");
        fs::copy(binary(), &path)?;
        Ok(Program(path))
    }

    fn run_as(&self, user: u32, group: u32, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.0);
        Ok(command.args(args).current_dir("/").uid(user).gid(group).output()?)
    }

    fn get(&self, socket: &Path, user: u32, group: u32) -> Result<Output> {
        let server = format!("unix://{}", socket.display());
        self.run_as(user, group, &["get", "k", "--store", STORE, "--server", &server])
    }
}

#[test]
fn whoever_is_in_the_sockets_group_is_served_and_a_stranger_is_not() -> Result<()> {
    if !is_root() {
        return left_out("only root can be another user");
    }
    run(async {
        let place = Place::new("socket-group", TopicSpec::store())?;
        let program = Program::in_the_open(&place)?;
        let socket = place.dir.path().join("s");
        let (path, group) = (socket.to_string_lossy().into_owned(), GROUP.to_string());
        let set = ["--socket", &path, "--socket-mode", "0660", "--socket-group", &group];
        let mut node = place.node("one")?.with_args(&set);
        node.start().await?;
        node.until_ready().await?;
        node.store().await?.put("k", "v").await?;

        let found = fs::metadata(&socket)?;
        ensure!((found.mode() & 0o777, found.gid()) == (0o660, GROUP), "{found:?}");
        let served = program.get(&socket, SOMEBODY, GROUP)?;
        ensure!(served.status.success() && served.stdout.starts_with(b"v"), "{}", text(&served));
        let stranger = program.get(&socket, SOMEBODY, OTHER_GROUP)?;
        ensure!(stranger.status.code() == Some(69), "{}", text(&stranger));
        ensure!(text(&stranger).contains("Permission denied"), "{}", text(&stranger));
        ensure!(node.stop()?.success() && !socket.exists(), "{}", node.log());

        let mut node = place.node("one")?.with_args(&["--socket", &path]);
        node.start().await?;
        node.until_ready().await?;
        let shut_out = program.get(&socket, SOMEBODY, GROUP)?;
        ensure!(text(&shut_out).contains("Permission denied"), "{}", text(&shut_out));
        let own = program.get(&socket, 0, 0)?;
        ensure!(own.status.success(), "{}", text(&own));
        Ok(())
    })
}

#[test]
fn a_group_that_the_node_may_not_give_is_refused_before_anything_is_touched() -> Result<()> {
    if !is_root() {
        return left_out("only root can be another user");
    }
    let place = Place::new("socket-refused", TopicSpec::store())?;
    let program = Program::in_the_open(&place)?;
    fs::set_permissions(place.dir.path(), Permissions::from_mode(0o777))?;
    let (data, socket) = (place.dir.path().join("data"), place.dir.path().join("s"));
    let (data_path, path) = (data.to_string_lossy(), socket.to_string_lossy());
    let serve = ["serve", "--bootstrap", "127.0.0.1:1", "--store", STORE, "--data", &data_path];
    let set = ["--listen", "off", "--socket", &path, "--socket-mode", "0660", "--socket-group"];
    let refused = |group: &str, words: &str| -> Result<()> {
        let args = [&serve[..], &set, &[group]].concat();
        let refused = program.run_as(SOMEBODY, OTHER_GROUP, &args)?;
        ensure!(refused.status.code() == Some(78), "{}", text(&refused));
        ensure!(text(&refused).contains(words), "{}", text(&refused));
        ensure!(!data.exists() && !socket.exists(), "something was made");
        Ok(())
    };
    refused(&GROUP.to_string(), "this user may not give a file to `42424`")?;
    refused("nobodys-group", "there is no group `nobodys-group`")
}
