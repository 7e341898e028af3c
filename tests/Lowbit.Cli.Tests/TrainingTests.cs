using System;
using System.IO;
using System.Text.Json;
using Lowbit.TestKit;
using Xunit;

namespace Lowbit.Cli.Tests;

public sealed class TrainingTests(TinyModel model) : IClassFixture<TinyModel>
{
    private static readonly string[] s_short = ["--steps", "6", "--batch", "2", "--context", "16", "--checkpoint-every", "4"];

    [Fact]
    public void FinetuneWritesAPackedModelOfThePerplexityThatItReports()
    {
        string output = model.In("finetuned");
        JsonElement report = LowbitProcess.Json(["finetune", model.Path, "--salient", "0.2", "--text", model.Text, "--eval-text", model.Text, "-o", output, .. s_short]);
        double reported = report.GetProperty("perplexity").GetDouble();
        JsonElement evaluated = LowbitProcess.Json(["eval", output, "--text", model.Text]);
        Assert.Equal(reported, evaluated.GetProperty("perplexity").GetDouble(), 1e-3 * reported);
        Assert.Equal(6, File.ReadAllLines(Path.Combine(output, "training.jsonl")).Length);
        Assert.True(File.Exists(Path.Combine(output, "training.svg")));
        LowbitResult again = LowbitProcess.Run(["finetune", model.Path, "--text", model.Text, "-o", output, .. s_short]);
        Assert.Equal(1, again.ExitCode);
        Assert.Contains("--force", again.Error);
    }

    [Theory]
    [InlineData("--method", "lora", "--adapters", "merged")]
    [InlineData("--method", "qlora", "--adapters", "separate")]
    [InlineData("--method", "qlora", "--adapters", "separate", "--lq-lora", "2", "--fisher", "3")]
    [InlineData("--method", "qlora", "--adapters", "separate", "--lq-lora", "2", "--fisher", "3", "--target-bits", "5")]
    [InlineData("--method", "efficientqat", "--bits", "3", "--group-size", "16", "--block-steps", "4", "--block-batches", "2", "--block-learning-rate", "0.02")]
    [InlineData("--method", "llm-qat", "--bits", "4", "--distill", "1")]
    [InlineData("--method", "xnor", "--activations-storage", "bf16")]
    public void WhatIsWrittenHasThePerplexityThatTrainingReports(params string[] method)
    {
        string output = model.In(string.Concat(method));
        double reported = LowbitProcess.Json(["finetune", model.Path, .. method, "--text", model.Text, "--eval-text", model.Text, "-o", output, .. s_short]).GetProperty("perplexity").GetDouble();
        Assert.Equal(reported, LowbitProcess.Json(["eval", output, "--text", model.Text]).GetProperty("perplexity").GetDouble(), 1e-3 * reported);
    }

    [Theory]
    [InlineData("full")]
    [InlineData("bitnet")]
    public void TrainBeginsFromAConfigurationAlone(string method)
    {
        string output = model.In("trained-" + method);
        JsonElement report = LowbitProcess.Json(["train", Path.Combine(model.Path, "config.json"), "--method", method, "--text", model.Text, "--eval-text", model.Text, "-o", output, .. s_short]);
        double reported = report.GetProperty("perplexity").GetDouble();
        Assert.True(reported < report.GetProperty("perplexity_of_source").GetDouble());
        JsonElement evaluated = LowbitProcess.Json(["eval", output, "--text", model.Text]);
        Assert.Equal(reported, evaluated.GetProperty("perplexity").GetDouble(), 1e-3 * reported);
    }

    [Fact]
    public void ATokenizerIsTakenFromItsFileAndRefusedBeforeTrainingWhereItCouldNotBeCopied()
    {
        string tokenizer = Path.Combine(model.Path, "tokenizer.json"), other = model.In("words.json"), output = model.In("trained-words");
        string[] command = ["train", Path.Combine(model.Path, "config.json"), "--text", model.Text, "-o", output, .. s_short];
        LowbitProcess.Json([.. command, "--tokenizer", tokenizer]);
        Assert.Equal(File.ReadAllBytes(tokenizer), File.ReadAllBytes(Path.Combine(output, "tokenizer.json")));
        File.Copy(tokenizer, other);
        var refused = LowbitProcess.Run([.. command, "--force", "--tokenizer", other]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("words.json", refused.Error);
        Assert.False(Directory.Exists(output + ".training"));
    }

    [Theory]
    [InlineData("pb-llm")]
    [InlineData("bitnet")]
    public void TheSameBytesAreWrittenWithAnEvaluationAndAfterAnInterruptionBehindTheLastStep(string method)
    {
        string[] command = ["finetune", model.Path, "--method", method, "--text", model.Text, .. s_short];
        string plain = model.In("plain-" + method), evaluated = model.In("evaluated-" + method), resumed = model.In("resumed-" + method);
        LowbitProcess.Json([.. command, "-o", plain]);
        LowbitProcess.Json([.. command, "-o", evaluated, "--eval-text", model.Text]);
        File.WriteAllText(resumed + ".partial", "in the way of the folder");
        Assert.Equal(1, LowbitProcess.Run([.. command, "-o", resumed]).ExitCode);
        File.Delete(resumed + ".partial");
        LowbitProcess.Json([.. command, "-o", resumed, "--resume"]);
        byte[] expected = File.ReadAllBytes(Path.Combine(plain, "model.safetensors"));
        Assert.Equal(expected, File.ReadAllBytes(Path.Combine(evaluated, "model.safetensors")));
        Assert.Equal(expected, File.ReadAllBytes(Path.Combine(resumed, "model.safetensors")));
    }

    [Fact]
    public void HalfPrecisionTakesHalfTheBytesAndGivesThePerplexity()
    {
        double[] perplexity = new double[2];
        long[] bytes = new long[2];
        foreach ((int i, string type) in ((int, string)[])[(0, "f32"), (1, "f16")])
        {
            string output = model.In("stored-" + type);
            LowbitProcess.Json(["finetune", model.Path, "--method", "full", "--type", type, "--text", model.Text, "-o", output, .. s_short]);
            perplexity[i] = LowbitProcess.Json(["eval", output, "--text", model.Text]).GetProperty("perplexity").GetDouble();
            bytes[i] = LowbitProcess.Json(["inspect", output]).GetProperty("weight_bytes").GetInt64();
        }
        Assert.Equal(bytes[0], 2 * bytes[1]);
        Assert.Equal(perplexity[0], perplexity[1], 1e-3 * perplexity[0]);
    }

    [Theory]
    [InlineData("finetune needs -o", "finetune", "MODEL", "--text", "TEXT")]
    [InlineData("train needs --text", "train", "MODEL", "-o", "nowhere")]
    [InlineData("has no setting --rank", "finetune", "MODEL", "--text", "TEXT", "-o", "nowhere", "--method", "xnor", "--rank", "4")]
    [InlineData("has no setting --block-steps", "finetune", "MODEL", "--text", "TEXT", "-o", "nowhere", "--method", "xnor", "--block-steps", "4")]
    [InlineData("--block-steps needs a model", "train", "CONFIG", "--text", "TEXT", "-o", "nowhere", "--method", "efficientqat", "--block-steps", "4")]
    [InlineData("has phases of its own", "finetune", "MODEL", "--text", "TEXT", "-o", "nowhere", "--method", "efficientqat", "--block-steps", "4", "--train-all")]
    [InlineData("needs a model that has learned", "train", "CONFIG", "--text", "TEXT", "-o", "nowhere", "--method", "pb-llm", "--saliency", "hessian")]
    [InlineData("--method is 'lora'", "train", "CONFIG", "--text", "TEXT", "-o", "nowhere", "--method", "lora")]
    [InlineData("--dropout is for", "finetune", "MODEL", "--text", "TEXT", "-o", "nowhere", "--dropout", "0.1")]
    [InlineData("give one of them", "finetune", "MODEL", "--text", "TEXT", "-o", "nowhere", "--method", "qlora", "--loftq", "1", "--lq-lora", "1")]
    [InlineData("--target-bits belongs to", "finetune", "MODEL", "--text", "TEXT", "-o", "nowhere", "--method", "qlora", "--target-bits", "3")]
    [InlineData("--fisher belongs to", "finetune", "MODEL", "--text", "TEXT", "-o", "nowhere", "--method", "qlora", "--fisher", "1")]
    public void WrongCommandLinesAreBadUsage(string expected, params string[] arguments)
    {
        string output = model.In("nowhere");
        string[] words = Array.ConvertAll(arguments, word => word switch { "MODEL" => model.Path, "CONFIG" => Path.Combine(model.Path, "config.json"), "TEXT" => model.Text, "nowhere" => output, _ => word });
        for (int i = 0; i < 2; i++)
        {
            LowbitResult result = LowbitProcess.Run(words);
            Assert.Equal(2, result.ExitCode);
            Assert.Contains(expected, result.Error);
        }
        Assert.False(Path.Exists(output) || Path.Exists(output + ".training"));
    }

    [Fact]
    public void AFolderWithAnythingButItsOwnLogIsNotDeletedWithoutForce()
    {
        string output = model.In("kept"), folder = output + ".training", note = Path.Combine(folder, "note.txt");
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "training.jsonl"), "");
        File.WriteAllText(note, "mine");
        string[] command = ["finetune", model.Path, "--text", model.Text, "-o", output, .. s_short];
        LowbitResult refused = LowbitProcess.Run(command);
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("--resume", refused.Error);
        Assert.Equal("mine", File.ReadAllText(note));
        File.Delete(note);
        Assert.Equal(0, LowbitProcess.Run(command).ExitCode);
    }

    [Fact]
    public void ResumingNothingSaysSo()
    {
        LowbitResult result = LowbitProcess.Run(["finetune", model.Path, "--text", model.Text, "-o", model.In("nothing"), "--resume", .. s_short]);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("leave --resume away", result.Error);
    }
}
