using System;
using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using System.Text.Json.Serialization;
using Lowbit.Core;

namespace Lowbit.Training.Run;

/// <summary>
/// The course of a training as JSON lines, one a step: <c>step</c>, <c>loss</c>, <c>learning_rate</c>, <c>gradient_norm</c>,
/// <c>seconds</c>. Steps after the one that a training goes on from are cut off.
/// </summary>
public sealed class TrainingLog : IDisposable
{
    private readonly StreamWriter _writer;
    private readonly List<StepReport> _steps = [];

    /// <summary>Opens the log.</summary>
    /// <param name="path">The file.</param>
    /// <param name="stepsDone">Steps to keep of what is there.</param>
    /// <exception cref="LowbitException">The file is damaged or cannot be written.</exception>
    public TrainingLog(string path, int stepsDone)
    {
        try
        {
            if (stepsDone > 0 && File.Exists(path)) Read(path, stepsDone);
            if (_steps.Count < stepsDone)
                throw new LowbitException($"{path}: the log has {_steps.Count} of the {stepsDone} steps before the checkpoint; put it back, or begin a new training with --force.");
            _writer = new StreamWriter(path, append: false) { NewLine = "\n" };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LowbitException($"{path}: the log cannot be written: {e.Message}", e);
        }
        foreach (StepReport step in _steps) _writer.WriteLine(JsonSerializer.Serialize(step, LoggedSteps.Default.StepReport));
        _writer.AutoFlush = true; // no checkpoint is ahead of the log, even after a kill
    }

    /// <summary>All steps of the training.</summary>
    public IReadOnlyList<StepReport> Steps => _steps;

    /// <summary>Writes a step.</summary>
    public void Add(StepReport step)
    {
        _steps.Add(step);
        _writer.WriteLine(JsonSerializer.Serialize(step, LoggedSteps.Default.StepReport));
    }

    /// <inheritdoc/>
    public void Dispose() => _writer.Dispose();

    private void Read(string path, int stepsDone)
    {
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            try
            {
                // A run that was killed may have left half a line behind the last step that counts.
                if (_steps.Count == stepsDone) return;
                _steps.Add(JsonSerializer.Deserialize(line, LoggedSteps.Default.StepReport) ?? throw new JsonException());
            }
            catch (JsonException e)
            {
                throw new LowbitFormatException(path, $"line {number} is no step of a training; delete the log to begin a new one.", e);
            }
        }
    }
}

// Serialized by generated code, which a program compiled ahead of time needs.
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower)]
[JsonSerializable(typeof(StepReport))]
internal sealed partial class LoggedSteps : JsonSerializerContext;
