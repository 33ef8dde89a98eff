"""The experiment of Cao et al. on the sphere: half a minute on two cores, then a report."""

from spectralbias import report, runs

run = runs.execute(runs.default_config())
print(report.verdict(run).headline)
print(report.write_report(run))
