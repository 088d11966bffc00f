"""What the dashboards show, one table each: title, unit, queries. `build_dashboards.py` makes Grafana's JSON of it.

`RATE` is Grafana's own choice of a window that holds at least four scrapes. A metric without series before the first
event of its kind (errors, retries) is shown as zero until then: `quiet` adds that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RATE = "$__rate_interval"


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    title: str
    queries: list[Query]
    unit: str = "short"
    kind: str = "timeseries"
    help: str = ""
    stacked: bool = False
    only_with: str = ""  # what a deployment may do without; the panel is then empty


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    panels: list[Panel] = field(default_factory=list)


def rate(counter: str, by: str, scale: str = "") -> str:
    """The summed rate of a counter by some labels."""
    grouped = f"sum by ({by}) " if by else "sum"
    return f"{grouped}(rate({counter}[{RATE}])){scale}"


def quiet(counter: str, by: str) -> str:
    """The rate of a counter that may have no series yet: then zero."""
    return f"{rate(counter, by)} or vector(0)"


def quantiles(histogram: str, by: str = "") -> list[Query]:
    """p50, p95, p99 of a histogram, by at most one label."""
    groups, name = (f"le, {by}", f"{{{{{by}}}}} ") if by else ("le", "")
    return [
        Query(f"histogram_quantile({q}, sum by ({groups}) (rate({histogram}_bucket[{RATE}])))", f"{name}p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    ]


def one(expr: str, legend: str) -> list[Query]:
    return [Query(expr, legend)]


THROUGHPUT = Dashboard("generals-throughput", "Generals · throughput", [
    Panel("Experiences collected, by policy", one(rate("generals_experiences_total", "policy"), "{{policy}}"),
          "cps", stacked=True),
    Panel("The same experience at each stage", [
        Query(rate("generals_experiences_total", ""), "collected"),
        Query(rate("generals_archived_experiences_total", "destination"), "archived in {{destination}}"),
        Query(rate("generals_buffer_inserted_total", ""), "inserted"),
        Query(rate("generals_buffer_sampled_total", ""), "sampled"),
    ], "cps"),
    Panel("Ticks played", one(rate("generals_ticks_total", "instance"), "{{instance}}"), "cps", stacked=True),
    Panel("Games finished, by reason", one(rate("generals_games_finished_total", "reason"), "{{reason}}"),
          "cps", stacked=True),
    Panel("Games running", one("sum by (instance) (generals_games_running)", "{{instance}}"), stacked=True),
    Panel("Records produced", one(rate("generals_records_produced_total", "topic"), "{{topic}}"), "cps"),
    Panel("Records consumed", one(rate("generals_records_consumed_total", "job, topic"), "{{job}} {{topic}}"), "cps"),
    Panel("Bytes produced", one(rate("generals_produced_bytes_total", "topic"), "{{topic}}"), "Bps"),
    Panel("Compression ratio", one(
        f"{rate('generals_raw_bytes_total', 'record')} / {rate('generals_packed_bytes_total', 'record')}", "{{record}}"
    ), help="Bytes of arrays before and after zstd"),
    Panel("Archive written", one(rate("generals_archived_bytes_total", "destination"), "{{destination}}"), "Bps"),
    Panel("CPU", one(rate("process_cpu_seconds_total", "job"), "{{job}}"), help="Cores in use, all processes of a job"),
    Panel("Memory", one("sum by (job) (process_resident_memory_bytes)", "{{job}}"), "bytes"),
    Panel("Memory a game", one("avg by (instance) (generals_game_memory_bytes)", "{{instance}}"), "bytes"),
])  # fmt: skip

LAG = Dashboard("generals-lag", "Generals · lag and queues", [
    Panel("Consumer lag, by group", one(
        "sum by (group, topic) (generals_consumer_lag_records)", "{{group}} {{topic}}"), help="Records"),
    Panel("Consumer lag, by partition", one(
        "sum by (group, topic, partition) (generals_consumer_lag_records)", "{{group}} {{topic}}/{{partition}}")),
    Panel("Chunks in the collectors", one("sum by (instance) (generals_collector_in_flight_chunks)", "{{instance}}"),
          help="Taken and not yet acknowledged"),
    Panel("Producers' queues", one("sum by (job, instance) (generals_producer_queue_records)", "{{job}} {{instance}}")),
    Panel("Engines waiting for Kafka", one(rate("generals_blocked_seconds_total", "instance"), "{{instance}}"),
          "percentunit", help="Share of the time"),
    Panel("Spilled to disk", one("sum by (instance) (generals_spill_bytes)", "{{instance}}"), "bytes"),
    Panel("Hours open in the writer", one("sum by (instance) (generals_writer_open_hours)", "{{instance}}")),
    Panel("Bytes held by the writer", one("sum by (instance) (generals_writer_buffered_bytes)", "{{instance}}"),
          "bytes"),
    Panel("Idle", one("generals_idle_seconds", "{{job}} {{instance}}"), "s",
          help="Since the loop last came round; the watchdog ends a process by this"),
])  # fmt: skip

LATENCY = Dashboard("generals-latency", "Generals · latency", [
    Panel("Action, by policy", quantiles("generals_action_seconds", "policy"), "s", help="Promised: 100 ms at p99",
          only_with="policies outside the kernel"),
    Panel("Encode one chunk", quantiles("generals_serialise_seconds", "record"), "s"),
    Panel("Chunk into experiences", quantiles("generals_transform_seconds"), "s",
          help="Decoding and encoding included"),
    Panel("Store one object", quantiles("generals_storage_write_seconds", "destination"), "s"),
    Panel("Learner step", quantiles("generals_trainer_step_seconds"), "s"),
    Panel("Checkpoint", quantiles("generals_checkpoint_seconds"), "s"),
    Panel("Game, wall time", quantiles("generals_game_seconds"), "s"),
    Panel("Chunk size", quantiles("generals_chunk_bytes"), "bytes"),
])  # fmt: skip

PLAY = Dashboard("generals-play", "Generals · rewards and actions", [
    Panel("Reward since the last scrape", [
        Query("avg(generals_reward_mean)", "mean"),
        Query("avg(generals_reward_deviation)", "deviation"),
        Query("min(generals_reward_minimum)", "minimum"),
        Query("max(generals_reward_maximum)", "maximum"),
    ]),
    Panel("Reward distribution", one(rate("generals_reward_bucket", "le"), "{{le}}"), kind="heatmap"),
    Panel("Actions", one(
        f"{rate('generals_actions_total', 'kind')} / ignoring (kind) group_left () "
        f"{rate('generals_actions_total', '')}", "{{kind}}"), "percentunit", stacked=True, help="Share of each kind"),
    Panel("How games end", one(
        f"{rate('generals_games_finished_total', 'reason')} / ignoring (reason) group_left () "
        f"{rate('generals_games_finished_total', '')}", "{{reason}}"), "percentunit", stacked=True),
    Panel("Length of a game, in ticks", quantiles("generals_game_ticks")),
    Panel("Version that plays", one("max by (policy) (generals_policy_version)", "{{policy}}"),
          only_with="trained policies in play"),
    Panel("Curriculum", [
        Query("avg by (learner) (generals_curriculum_stage)", "{{learner}} stage"),
        Query("avg by (learner) (generals_curriculum_score)", "{{learner}} score"),
    ], only_with="a curriculum", help="Means of all engines; the score is that of the last whole trial"),
])  # fmt: skip

LEARNING = Dashboard("generals-learning", "Generals · learning", [
    Panel("Loss", one("generals_trainer_loss", "{{instance}}")),
    Panel("TD error", one("generals_trainer_td_error", "{{instance}}")),
    Panel("Value of the actions taken", one("generals_trainer_q_value", "{{instance}}")),
    Panel("Gradient norm", one("generals_trainer_gradient_norm", "{{instance}}"), help="Before clipping"),
    Panel("Learner steps", one(rate("generals_trainer_steps_total", "instance"), "{{instance}}"), "cps"),
    Panel("Samples an insert", one(
        f"{rate('generals_buffer_sampled_total', 'instance')} / {rate('generals_buffer_inserted_total', 'instance')}",
        "{{instance}}")),
    Panel("Buffer", [
        Query("sum by (instance) (generals_buffer_experiences)", "{{instance}} held"),
        Query("sum by (instance) (generals_buffer_capacity_experiences)", "{{instance}} room"),
    ]),
    Panel("Buffer, share in use", one("generals_buffer_utilisation_ratio", "{{instance}}"), "percentunit"),
    Panel("Buffer, memory", one("generals_buffer_bytes", "{{instance}}"), "bytes"),
    Panel("Left out", one(rate("generals_buffer_left_out_total", "instance"), "{{instance}}"), "cps",
          help="Too stale, or not to be learnt from"),
    Panel("Overwritten", one(rate("generals_buffer_overwritten_total", "instance"), "{{instance}}"), "cps"),
    Panel("Staleness of a sample, in versions", [
        *quantiles("generals_sample_staleness_versions"),
        Query("avg(generals_sample_staleness_versions_mean)", "mean"),
        Query("max(generals_sample_staleness_versions_maximum)", "maximum"),
    ], only_with="trained policies in play"),
    Panel("Newest version published", one("max by (instance) (generals_published_policy_version)", "{{instance}}")),
    Panel("Age of the last checkpoint", one("time() - generals_checkpoint_timestamp_seconds", "{{instance}}"), "s"),
])  # fmt: skip

ERRORS = Dashboard("generals-errors", "Generals · errors", [
    Panel("Alerts firing", one('sum by (alertname) (ALERTS{alertstate="firing"}) or vector(0)', "{{alertname}}")),
    Panel("Ready", one("sum by (job) (generals_ready)", "{{job}}"), help="Processes that say yes"),
    Panel("Records lost", one("sum by (job, topic) (generals_lost_records_total) or vector(0)", "{{job}} {{topic}}"),
          help="Any is too many: runbook, RecordsLost"),
    Panel("Repeats dropped", one(quiet("generals_repeated_records_total", "job, topic"), "{{job}} {{topic}}"), "cps",
          help="Normal after a restart"),
    Panel("Chunks refused, by reason", one(quiet("generals_validation_failures_total", "reason"), "{{reason}}"), "cps"),
    Panel("Dropped by engines", [
        Query(quiet("generals_dropped_chunks_total", "strategy"), "chunks {{strategy}}"),
        Query(quiet("generals_dropped_summaries_total", "strategy"), "summaries {{strategy}}"),
    ], "cps"),
    Panel("Games dropped, by error", one(quiet("generals_game_failures_total", "error"), "{{error}}"), "cps"),
    Panel("Policies: deadlines missed", one(quiet("generals_policy_timeouts_total", "policy"), "{{policy}}"), "cps"),
    Panel("Policies: loads failed", one(quiet("generals_policy_reload_failures_total", "policy"), "{{policy}}"), "cps"),
    Panel("Pauses because a store failed", one(
        quiet("generals_storage_retries_total", "destination, reason"), "{{destination}} {{reason}}"), "cps"),
    Panel("Kafka client errors", one(quiet("generals_kafka_errors_total", "job, error"), "{{job}} {{error}}"), "cps"),
    Panel("Configurations reloaded", one(quiet("generals_config_reloads_total", "outcome"), "{{outcome}}"), "cps"),
    Panel("Segments claimed", one(
        quiet("generals_writer_claims_total", "destination, outcome"), "{{destination}} {{outcome}}"), "cps",
        help="resumed: left by a crash; foreign: another process was faster"),
])  # fmt: skip

DASHBOARDS = [THROUGHPUT, LAG, LATENCY, PLAY, LEARNING, ERRORS]
