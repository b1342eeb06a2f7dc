//! `muster`: the platform's one program. This file is its table of contents.

mod bots;
mod chaos;
mod check_history;
mod cli;
mod cluster_options;
mod cluster_services;
mod compat;
mod console;
mod database;
mod demo;
mod doctor;
mod economy;
mod events;
mod exit;
mod folder;
mod gameserver;
mod gateway;
mod http;
mod identity;
mod kills;
mod kube_proxy;
mod kubectl;
mod kubernetes;
mod live;
mod maintenance;
mod migrate_store;
mod new;
mod observe;
mod operator;
mod output;
mod parts;
mod platform;
mod played;
mod privileged;
mod probe;
mod progress;
mod servers_file;
mod services;
mod trouble;
mod up;
mod webhooks;
mod witness;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Task};

#[global_allocator]
static HEAP: service::Heap = service::Heap;

fn main() -> ExitCode {
    let args = match cli::arguments(kubectl::as_plugin(std::env::args_os().collect()).into_iter()) {
        Ok(args) => args,
        Err(failure) => return failure.report(),
    };
    let cli = Cli::parse_from(args);
    let done = match cli.task {
        Task::New(options) => new::run(&options),
        Task::Demo(options) => demo::run(&options),
        Task::Up(options) => up::run(&options),
        Task::Bots(options) => bots::run(&options),
        Task::Doctor(options) => doctor::run(&options),
        Task::Probe(options) => probe::run(&options),
        Task::Kubectl(options) => kubectl::run(&options),
        Task::Maintenance(options) => maintenance::run(&options),
        Task::MinimumBuild(options) => maintenance::minimum_build(&options),
        Task::ChaosPlatform(options) => chaos::obey::run(&options),
        Task::Webhooks(options) => webhooks::run(&options),
        Task::Ledger(options) => economy::ledger(&options),
        Task::Audit(options) => privileged::audit(&options),
        Task::Receipt(options) => privileged::receipt(&options),
        Task::OperatorToken(options) => privileged::token(&options),
        Task::Kills(options) => kills::run(&options),
        Task::CheckHistory(options) => check_history::run(&options),
        Task::Agent(options) => return ::gameserver::agent::main(&options),
        Task::Gameserver(_) => return gameserver::run(std::env::args_os().skip(1)),
        Task::Allocator(options) => services::allocator(&options),
        Task::Matchmaker(options) => services::matchmaker(&options),
        Task::Kubernetes(options) => kubernetes::run(&options),
        Task::Metagame(options) => services::metagame(&options),
        Task::Operator(options) => operator::run(&options),
    };
    match done {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
