using System;
using System.Diagnostics;

namespace Lowbit.Benchmarks;

/// <summary>Seconds of one call: the median of all rounds and the fastest round, which is what an undisturbed machine gives.</summary>
internal readonly record struct Timing(double Median, double Best);

/// <summary>Runs contestants in turn, so that a slow spell of the machine hits all of them.</summary>
internal static class Harness
{
    private const int Rounds = 41;
    private const double SecondsOfRound = 0.003; // short, so that some rounds pass without an interruption

    /// <summary>Times each action.</summary>
    public static Timing[] Time(params Action[] actions)
    {
        int[] repeats = new int[actions.Length];
        for (int i = 0; i < actions.Length; i++)
        {
            // Long enough for the optimizing compiler to have replaced the first version.
            Stopwatch warmUp = Stopwatch.StartNew();
            for (int calls = 0; warmUp.Elapsed.TotalSeconds < 0.4 || (calls < 60 && warmUp.Elapsed.TotalSeconds < 3); calls++) actions[i]();
            double fastest = double.MaxValue;
            for (int call = 0; call < 5; call++)
            {
                warmUp.Restart();
                actions[i]();
                fastest = Math.Min(fastest, warmUp.Elapsed.TotalSeconds);
            }
            repeats[i] = (int)Math.Clamp(SecondsOfRound / Math.Max(1e-7, fastest), 1, 1_000_000);
        }
        double[][] times = new double[actions.Length][];
        for (int i = 0; i < actions.Length; i++) times[i] = new double[Rounds];
        for (int round = 0; round < Rounds; round++)
        {
            for (int i = 0; i < actions.Length; i++)
            {
                long start = Stopwatch.GetTimestamp();
                for (int call = 0; call < repeats[i]; call++) actions[i]();
                times[i][round] = Stopwatch.GetElapsedTime(start).TotalSeconds / repeats[i];
            }
        }
        Timing[] timings = new Timing[actions.Length];
        for (int i = 0; i < actions.Length; i++)
        {
            Array.Sort(times[i]);
            timings[i] = new Timing(times[i][Rounds / 2], times[i][0]);
        }
        return timings;
    }

    /// <summary>Stops the program when a result is wrong: nothing is timed that is not right.</summary>
    public static void Verify(bool right, string what)
    {
        if (!right) throw new InvalidOperationException($"{what}: the result is wrong, so it is not timed");
    }

    /// <summary>Prints a line: the rate of the median, of the best round, and the latter's share of a roof.</summary>
    public static void Report(string name, Timing timing, double work, string unit, double roof, string roofName) => Console.WriteLine(
        $"{name,-46} {work / timing.Median / 1e9,8:F2} {unit} (best {work / timing.Best / 1e9:F2}, {100 * work / timing.Best / roof:F1} % of {roofName})");
}
