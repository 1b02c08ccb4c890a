//! Rounds of faults, each drawn by its seed.

use std::fmt;
use std::time::{Duration, Instant};

use crate::check::{Found, Stored, check_repository, settled};
use crate::link::Mood;
use crate::load::Load;
use crate::machines::{Machines, SERVERS};
use crate::support::cluster::has_etcd;
use crate::{ALONE, eventually, number};

const ENVIRONMENTS: usize = 64;
/// How long nothing fails after a round: who decides gets on then.
const CALM: Duration = Duration::from_millis(1500);
/// How long it may take until all servers take reports again.
const HEALING_TIME_MAX: Duration = Duration::from_secs(45);

/// What befalls a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is killed, and started again at the end.
    Killed,
    /// It does not run for a while.
    Paused,
    /// Its connections to etcd end.
    Cut,
    /// Its connections to etcd are silent.
    Silent,
    /// Its connections to etcd are slow.
    Slow,
}

/// Which machine: a server, or a member of etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    Server(usize),
    Etcd(usize),
}

/// How often what happened.
#[derive(Default)]
struct Happened {
    faults: Vec<(Machine, Fault)>,
    longest_healing: Duration,
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in [
            Fault::Killed,
            Fault::Paused,
            Fault::Cut,
            Fault::Silent,
            Fault::Slow,
        ] {
            let all = self.faults.iter().filter(|(_, one)| *one == fault);
            let is_server = |machine: &Machine| matches!(machine, Machine::Server(_));
            let servers = all
                .clone()
                .filter(|(machine, _)| is_server(machine))
                .count();
            let members = all.count() - servers;
            write!(
                f,
                "{fault:?}: {servers} servers, {members} members of etcd; "
            )?;
        }
        write!(f, "longest healing {:.1?}", self.longest_healing)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_nothing_acknowledged_is_lost_and_history_is_one() {
    if !has_etcd() {
        return;
    }
    let _alone = ALONE.lock().await;
    let first = number("PINION_SEED", fastrand::u64(..1_000_000));
    let mut machines = Machines::start(ENVIRONMENTS).await;
    let repository = machines.repository().to_owned();
    let mut load = Load::begin(
        machines.channels(),
        &machines.environments,
        &machines.manager,
        repository,
        first,
    );
    let begun = Instant::now();
    let mut happened = Happened::default();
    for seed in first..first + number("PINION_ROUNDS", 20) {
        println!("seed {seed}: `PINION_SEED={seed} PINION_ROUNDS=1` draws its faults again");
        play(seed, &mut machines, &mut happened).await;
        load.is_sound();
        // What is acknowledged while it is read may not be in it.
        let acknowledged = load.told().acknowledged.len();
        let decided = load.told().decided.clone();
        let stored = Stored::read(&machines.store).await;
        let mut told = load.told();
        let found = stored.check(&told, &told.acknowledged[..acknowledged], &decided);
        stored.forget(&mut told);
        drop(told);
        println!("  {found:?}");
    }
    load.end().await;
    let took = begun.elapsed();
    let stored = settled(&machines.store).await;
    let found = load.check(&stored);
    check_repository(&stored, machines.repository());
    let (failures, silence) = load.failures();
    machines.check_agreement().await;
    println!("{happened}");
    println!(
        "{found:?} in {took:.0?}; {failures} requests failed, the longest time without an acknowledged report is {silence:.1?}"
    );
    let (differing, decisions) = machines.verify().await;
    // Evidence that is counted again can differ for a known reason: the order of reports around a lost answer.
    println!("{differing} of {decisions} decisions differ when they are made again");
    assert_eventful(&found);
}

fn assert_eventful(found: &Found) {
    let is_load = found.reports > ENVIRONMENTS && found.decisions > 10;
    assert!(is_load, "the load was no load: {found:?}");
}

/// One to three faults, for one to three seconds, and everything works again.
async fn play(seed: u64, machines: &mut Machines, happened: &mut Happened) {
    let mut random = fastrand::Rng::with_seed(seed);
    let faults = draw(&mut random);
    for (machine, fault) in &faults {
        println!("  {machine:?}: {fault:?}");
        apply(machines, *machine, *fault);
        let pause = random.u64(0..300);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    tokio::time::sleep(Duration::from_millis(random.u64(1000..3000))).await;
    let begun = Instant::now();
    heal(machines, &faults).await;
    happened.longest_healing = happened.longest_healing.max(begun.elapsed());
    happened.faults.extend(faults);
    tokio::time::sleep(CALM).await;
}

fn draw(random: &mut fastrand::Rng) -> Vec<(Machine, Fault)> {
    let mut faults: Vec<(Machine, Fault)> = Vec::new();
    let count = random.usize(1..=3);
    while faults.len() < count {
        let number = random.usize(0..SERVERS);
        let (machine, fault) = match random.u32(0..8) {
            0 => (Machine::Etcd(number), Fault::Killed),
            1 => (Machine::Etcd(number), Fault::Paused),
            2 | 3 => (Machine::Server(number), Fault::Killed),
            4 => (Machine::Server(number), Fault::Paused),
            5 => (Machine::Server(number), Fault::Cut),
            6 => (Machine::Server(number), Fault::Silent),
            _ => (Machine::Server(number), Fault::Slow),
        };
        if faults.iter().all(|(taken, _)| *taken != machine) {
            faults.push((machine, fault));
        }
    }
    faults
}

fn apply(machines: &mut Machines, machine: Machine, fault: Fault) {
    match (machine, fault) {
        (Machine::Etcd(number), Fault::Killed) => machines.etcd.kill(number),
        (Machine::Etcd(number), _) => machines.etcd.pause(number),
        (Machine::Server(number), fault) => {
            let server = &mut machines.servers[number];
            match fault {
                Fault::Killed => server.kill(),
                Fault::Paused => server.pause(),
                Fault::Cut => server.link(Mood::Cut),
                Fault::Silent => server.link(Mood::Silent),
                Fault::Slow => server.link(Mood::Slow(Duration::from_millis(150))),
            }
        }
    }
}

/// Ends the faults, and waits until every server takes reports.
async fn heal(machines: &mut Machines, faults: &[(Machine, Fault)]) {
    for (machine, fault) in faults {
        if let (Machine::Etcd(number), Fault::Paused) = (machine, fault) {
            machines.etcd.resume(*number);
        }
    }
    for (machine, fault) in faults {
        match (machine, fault) {
            (Machine::Etcd(number), Fault::Killed) => {
                tokio::task::block_in_place(|| machines.etcd.restart(*number));
            }
            (Machine::Etcd(_), _) => {}
            (Machine::Server(number), Fault::Killed) => machines.servers[*number].start(),
            (Machine::Server(number), Fault::Paused) => machines.servers[*number].resume(),
            (Machine::Server(number), _) => machines.servers[*number].link(Mood::Open),
        }
    }
    let token = &machines.environments[0].token;
    for server in &mut machines.servers {
        server.until_ready().await;
        eventually("every server takes reports", HEALING_TIME_MAX, async || {
            server.report(token).await.is_ok()
        })
        .await;
    }
}
