using System;
using System.Diagnostics;

namespace Lowbit.Benchmarks;

/// <summary>Runs contestants in turn, so that a slow spell of the machine hits all of them, and keeps the median of each.</summary>
internal static class Harness
{
    private const int Rounds = 11;
    private const double SecondsOfRound = 0.05;

    /// <summary>Median seconds of one call of each action.</summary>
    public static double[] Time(params Action[] actions)
    {
        int[] repeats = new int[actions.Length];
        for (int i = 0; i < actions.Length; i++)
        {
            // Long enough for the optimizing compiler to have replaced the first version.
            Stopwatch warmUp = Stopwatch.StartNew();
            int calls = 0;
            while (warmUp.Elapsed.TotalSeconds < 0.4 || calls < 60)
            {
                actions[i]();
                calls++;
                if (warmUp.Elapsed.TotalSeconds > 3) break;
            }
            warmUp.Restart();
            actions[i]();
            repeats[i] = (int)Math.Clamp(SecondsOfRound / Math.Max(1e-7, warmUp.Elapsed.TotalSeconds), 1, 1_000_000);
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
        double[] medians = new double[actions.Length];
        for (int i = 0; i < actions.Length; i++)
        {
            Array.Sort(times[i]);
            medians[i] = times[i][Rounds / 2];
        }
        return medians;
    }

    /// <summary>Stops the program when a result is wrong: nothing is timed that is not right.</summary>
    public static void Verify(bool right, string what)
    {
        if (!right) throw new InvalidOperationException($"{what}: the result is wrong, so it is not timed");
    }
}
