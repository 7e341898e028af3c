using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Lowbit.Core;
using Lowbit.Training.Model;

namespace Lowbit.Training.Run;

/// <summary>
/// The folder beside the output in which a training lives until it is done: <c>checkpoint.safetensors</c>,
/// <c>training.jsonl</c>, <c>training.svg</c>, and of a training block by block <c>block-0.safetensors</c> and so on. An interruption keeps it, and the same command with --resume goes on from there.
/// </summary>
public sealed class TrainingFolder
{
    private readonly string _path, _checkpoint, _log, _plot, _fingerprint;
    private readonly bool _resume;

    /// <summary>Makes the folder, or finds that of an interrupted training.</summary>
    /// <param name="output">The folder that the training shall make.</param>
    /// <param name="fingerprint">What identifies model, method, data and options.</param>
    /// <param name="resume">Go on from the checkpoint.</param>
    /// <param name="force">Throw away what an interrupted training left.</param>
    /// <exception cref="LowbitException">There is no checkpoint to go on from, or one that nobody said what to do with.</exception>
    public TrainingFolder(string output, string fingerprint, bool resume, bool force)
    {
        _path = output.TrimEnd(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar) + ".training";
        _checkpoint = Path.Combine(_path, "checkpoint.safetensors");
        _log = Path.Combine(_path, "training.jsonl");
        _plot = Path.Combine(_path, "training.svg");
        _fingerprint = fingerprint;
        _resume = resume;
        try
        {
            if (resume && !Directory.Exists(_path)) throw new LowbitException($"--resume: {_path} is not there; leave --resume away to begin a training.");
            if (!resume && Directory.Exists(_path))
            {
                if (!force && Directory.EnumerateFileSystemEntries(_path).Any(entry => entry != _log && entry != _plot)) throw new LowbitException($"{_path} holds an interrupted training; go on with --resume or throw it away with --force.");
                Directory.Delete(_path, recursive: true);
            }
            Directory.CreateDirectory(_path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{output}: the folder cannot be written: {e.Message} Choose another place with -o.", e);
        }
    }

    /// <summary>Takes a finished block of an interrupted training.</summary>
    /// <param name="block">Its number.</param>
    /// <param name="parameters">What was trained; overwritten.</param>
    /// <returns>How it was trained; null where it was not.</returns>
    /// <exception cref="LowbitException">The file is damaged or belongs to another training.</exception>
    public BlockReport? Load(int block, IEnumerable<Parameter> parameters) =>
        File.Exists(Block(block)) ? TrainingCheckpoint.Load(Block(block), _fingerprint, block, parameters) : null;

    /// <summary>Keeps a finished block.</summary>
    /// <param name="report">How it was trained.</param>
    /// <param name="parameters">What was trained.</param>
    public void Save(BlockReport report, IEnumerable<Parameter> parameters) => TrainingCheckpoint.Save(Block(report.Block), _fingerprint, report, parameters);

    /// <summary>Trains to the last step.</summary>
    /// <param name="trainer">At its beginning.</param>
    /// <param name="checkpointEvery">Steps between two checkpoints.</param>
    /// <param name="progress">Told after every step, or null.</param>
    /// <param name="cancellation">Stops after the step at hand, with a checkpoint.</param>
    /// <returns>All steps, those before an interruption included.</returns>
    public IReadOnlyList<StepReport> Train(Trainer trainer, int checkpointEvery, Action<StepReport>? progress, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(checkpointEvery);
        if (_resume && File.Exists(_checkpoint)) trainer.Resume(_checkpoint, _fingerprint); // else it was interrupted before the first one
        using TrainingLog log = new(_log, trainer.StepsDone);
        while (trainer.StepsDone < trainer.Options.Steps)
        {
            if (cancellation.IsCancellationRequested)
            {
                trainer.Save(_checkpoint, _fingerprint);
                cancellation.ThrowIfCancellationRequested();
            }
            StepReport step = trainer.Step();
            log.Add(step);
            progress?.Invoke(step);
            if (step.Step % checkpointEvery != 0 && step.Step != trainer.Options.Steps) continue;
            trainer.Save(_checkpoint, _fingerprint);
            LossPlot.Write(_plot, Path.GetFileNameWithoutExtension(_path), log.Steps);
        }
        return log.Steps;
    }

    /// <summary>Moves log and picture into the finished output and throws the rest away.</summary>
    public void Finish(string output)
    {
        foreach (string file in (ReadOnlySpan<string>)[_log, _plot])
        {
            if (File.Exists(file)) File.Move(file, Path.Combine(output, Path.GetFileName(file)), overwrite: true);
        }
        Directory.Delete(_path, recursive: true);
    }

    private string Block(int block) => Path.Combine(_path, FormattableString.Invariant($"block-{block}.safetensors"));
}
