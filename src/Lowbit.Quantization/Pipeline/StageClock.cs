using System;
using System.Collections.Generic;
using System.Diagnostics;

namespace Lowbit.Quantization.Pipeline;

/// <summary>Adds up where the time of a run goes.</summary>
internal sealed class StageClock
{
    private readonly Dictionary<string, double> _seconds = [];

    /// <summary>The stages in the order in which they first ran.</summary>
    public IReadOnlyList<StageTime> Stages
    {
        get
        {
            List<StageTime> stages = [];
            foreach ((string stage, double seconds) in _seconds) stages.Add(new StageTime(stage, seconds));
            return stages;
        }
    }

    public T Measure<T>(string stage, Func<T> action)
    {
        long start = Stopwatch.GetTimestamp();
        T result = action();
        _seconds[stage] = _seconds.GetValueOrDefault(stage) + Stopwatch.GetElapsedTime(start).TotalSeconds;
        return result;
    }

    public void Measure(string stage, Action action) => Measure(stage, () =>
    {
        action();
        return true;
    });
}
